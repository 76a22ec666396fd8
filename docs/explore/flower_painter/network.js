// The network in ONNX Runtime Web: on the GPU where that is right and quick, else in WebAssembly.

const TOLERANCE = 0.02; // Normalized samples: a hundredth of what a pixel can be.

/**
 * Opens the network: gives `{ evaluate, provider }`. `script` is the runtime's address, `program` and
 * `weights` are what it needs, and `providers` are the ways to compute that shall be tried.
 */
export async function openNetwork({ script, program, weights, providers, model }) {
  const runtime = await import(script);
  // Threads would take headers that hosts of static sites don't send.
  Object.assign(runtime.env.wasm, { numThreads: 1, wasmBinary: program });
  runtime.env.logLevel = "error";
  let best;
  for (const provider of providers) {
    const tried = await attempt(runtime, weights, provider, model).catch((error) => {
      if (provider === providers.at(-1) && !best) throw error;
      console.warn(error);
    });
    // The last one, WebAssembly, is the measure of what is right.
    if (!tried) continue;
    const differs = best?.answer.some((value, i) => !(Math.abs(value - tried.answer[i]) < TOLERANCE));
    if (!best || differs || tried.milliseconds < best.milliseconds) {
      await best?.session.release();
      best = tried;
    } else await tried.session.release();
  }
  return best;
}

async function attempt(runtime, weights, provider, model) {
  const session = await runtime.InferenceSession.create(new Uint8Array(weights), {
    // With channels last, which WebGPU would prefer, it convolves wrongly where their number isn't a
    // multiple of four: https://github.com/microsoft/onnxruntime/issues/29651
    executionProviders: [{ name: provider, preferredLayout: "NCHW" }],
    logSeverityLevel: 3,
  });
  const evaluate = evaluator(runtime, session, model);
  const noisy = Float32Array.from({ length: model.size }, (_, i) => Math.sin(i));
  const ask = () => evaluate(noisy, 0.5, [0, model.empty]);
  await ask(); // The first call prepares what the others use.
  const start = performance.now(), answer = await ask();
  return { session, provider, evaluate, answer, milliseconds: performance.now() - start };
}

function evaluator({ Tensor }, session, { shape }) {
  const jumps = session.inputNames.includes("until");
  return async (noisy, time, tokens, until = 0) => {
    const count = tokens.length, repeated = new Float32Array(count * noisy.length);
    for (let i = 0; i < count; i++) repeated.set(noisy, i * noisy.length);
    const all = (value) => new Tensor("float32", new Float32Array(count).fill(value), [count]);
    const feeds = {
      noisy: new Tensor("float32", repeated, [count, ...shape]),
      time: all(time),
      ...jumps && { until: all(until) },
      tokens: new Tensor("int32", Int32Array.from(tokens), [count]),
    };
    const answer = (await session.run(feeds))[session.outputNames[0]];
    const data = await answer.getData();
    answer.dispose();
    return data;
  };
}
