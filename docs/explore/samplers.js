// The samplers of `imagegen.samplers`. Each takes a step from the level `now` to the less noisy level
// `after`. Samples are arrays of numbers, in normalized units. `state` is what the step before left.
//
// A step is a generator: it yields `{ noisy, level, until }` where it wants to know the clean samples,
// and goes on when it is told. So it works with a denoiser that answers at once and with one that has
// to be waited for. `until` is the level at which the step ends, which networks that jump have to know.

const map = (samples, of) => samples.map((_, i) => of(i));

/** Takes a step with a `denoise(noisy, level, until)` that answers at once. */
export function taken(step, denoise) {
  let asked = step.next();
  while (!asked.done) {
    const { noisy, level, until } = asked.value;
    asked = step.next(denoise(noisy, level, until));
  }
  return asked.value;
}

/** Takes a step with a `denoise(noisy, level, until)` that gives a promise. */
export async function awaited(step, denoise) {
  let asked = step.next();
  while (!asked.done) {
    const { noisy, level, until } = asked.value;
    asked = step.next(await denoise(noisy, level, until));
  }
  return asked.value;
}

/** DDIM: remix what is clean and what is noise, of which a share is new. DDPM is DDIM with eta 1. */
const ddim = (eta) => ({
  *step(noisy, now, after, state, drawNoise) {
    const clean = yield { noisy, level: now, until: after };
    const kept = (now.signal / after.signal) * after.noise;
    const added = Math.sqrt(Math.max(now.noise ** 2 - kept ** 2, 0));
    const sigma = eta * (after.noise / now.noise) * added;
    const remixed = Math.sqrt(Math.max(after.noise ** 2 - sigma ** 2, 0)) / now.noise;
    const fresh = eta ? drawNoise(noisy.length) : noisy;
    const next = map(noisy, (i) => after.signal * clean[i]
      + remixed * (noisy[i] - now.signal * clean[i]) + sigma * fresh[i]);
    return { noisy: next, clean };
  },
});

// The coordinates of a straight line from clean to noise: y = (1 - u) clean + u noise.
const total = ({ noise, signal }) => signal + noise;
const position = (level) => level.noise / total(level);

const euler = {
  *step(noisy, now, after) {
    const clean = yield { noisy, level: now, until: after };
    const ahead = position(after) / position(now) - 1;
    const next = map(noisy, (i) => {
      const y = noisy[i] / total(now);
      return (y + ahead * (y - clean[i])) * total(after);
    });
    return { noisy: next, clean };
  },
};

/** Euler's step, then again with the mean of both slopes. The last step is Euler's. */
const heun = {
  *step(noisy, now, after) {
    const first = yield* euler.step(noisy, now, after);
    if (after.noise === 0) return first;
    const cleanAfter = yield { noisy: first.noisy, level: after, until: after };
    const u = position(now), uAfter = position(after);
    const next = map(noisy, (i) => {
      const y = noisy[i] / total(now), yAfter = first.noisy[i] / total(after);
      const slopes = (y - first.clean[i]) / u + (yAfter - cleanAfter[i]) / uAfter;
      return (y + ((uAfter - u) * slopes) / 2) * total(after);
    });
    return { noisy: next, clean: first.clean };
  },
};

/** Second order from the memory of the last clean estimate. */
const dpm = {
  *step(noisy, now, after, state) {
    const clean = yield { noisy, level: now, until: after };
    const kept = after.noise / now.noise;
    const decay = (kept * now.signal) / after.signal;
    const h = -Math.log(after.noise ? decay : 1);
    const weight = state ? h / (2 * state.h) : 0;
    const next = map(noisy, (i) => {
      const estimate = clean[i] + weight * (clean[i] - (state ? state.clean[i] : 0));
      return kept * noisy[i] - after.signal * (decay - 1) * estimate;
    });
    return { noisy: next, clean, state: { clean, h } };
  },
};

/** The sampler of a name; `eta` is DDIM's alone. */
export const samplerOf = (name, eta = 0) =>
  ({ ddim: ddim(eta), ddpm: ddim(1), euler, heun, dpm })[name];

/** How often a sampler asks the denoiser on its whole way. */
export const evaluations = (name, numSteps) => (name === "heun" ? 2 * numSteps - 1 : numSteps);

/** Standard normal noise as it is at the first level: with the deviation that data have there. */
export function firstNoisy(noise, { noise: n, signal: s }) {
  const deviation = Math.hypot(n, s);
  return noise.map((value) => value * deviation);
}

/** Walks from noise to clean points, and yields every level's points and the guesses made there. */
export function* walk(sampler, denoise, noise, stops, drawNoise) {
  let noisy = firstNoisy(noise, stops[0]), state;
  for (let i = 0; i + 1 < stops.length; i++) {
    const step = taken(sampler.step(noisy, stops[i], stops[i + 1], state, drawNoise), denoise);
    yield { noisy, clean: step.clean };
    ({ noisy, state } = step);
  }
  yield { noisy, clean: noisy };
}
