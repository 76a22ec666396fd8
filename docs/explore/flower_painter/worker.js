// The painter on a thread of its own: it downloads, opens the network, and paints one job at a time.

import { normals, uniformOf } from "../random.js";
import { load } from "./download.js";
import { Engine, slerp } from "./engine.js";
import { Model } from "./model.js";
import { openNetwork } from "./network.js";

// On the walk between two flowers, ends come first, then middles: so many parts has the way.
const PARTS = 8;
const ORDER = [0, 8, 4, 2, 6, 1, 3, 5, 7];
let model, engine, current, free = Promise.resolve();
let painted = {}; // The last flower that was painted to be painted over.

const jobs = {
  noise: (job) => steps(job, engine.paint(fromNoise(job))),
  walk,
  repaint: async (job) => {
    const given = await draft(job);
    send(job, "draft", { picture: shown(given) });
    if (!job.mask) return;
    const fresh = uniformOf(job.toSeed + 1e6);
    await steps(job, engine.repaint({
      ...fromNoise(job, "to"), draft: given, mask: job.mask, resamplings: job.resamplings,
      drawNoise: () => normals(fresh, model.size),
    }));
  },
  picture: async (job) => {
    const given = await draft(job);
    await steps(job, engine.overpaint({ ...fromNoise(job, "to"), draft: given, strength: job.strength }));
  },
};

const noiseOf = (seed) => Float32Array.from(normals(uniformOf(seed), model.size));

// The flower of the settings, or the second one, which takes the place of a part or of a picture.
function fromNoise({ steps: count, sampler, guidance, ...job }, which = "") {
  const [species, seed] = which ? [job.toSpecies, job.toSeed] : [job.species, job.seed];
  return {
    noise: noiseOf(seed), steps: count, sampler, denoise: engine.denoiser([[species, 1]], guidance),
  };
}

/** The picture that is painted over: the reader's own, or the flower of the settings. */
async function draft(job) {
  if (job.draft) return model.samplesOf(job.draft);
  const { species, seed, steps: count, sampler, guidance } = job;
  const key = JSON.stringify([species, seed, count, sampler, guidance]);
  if (painted.key === key) return painted.samples;
  let samples;
  for await (const { clean } of engine.paint(fromNoise(job))) {
    await rest(job);
    send(job, "draft", { picture: shown(clean) });
    samples = clean;
  }
  painted = { key, samples };
  return samples;
}

async function steps(job, way) {
  for await (const { step, level, noisy, clean } of way) {
    await rest(job);
    // As bright as a picture, however loud the noise is.
    const scale = Math.max(1, Math.hypot(level.noise, level.signal));
    send(job, "frame", {
      step, level, noisy: shown(noisy.map((value) => value / scale)), clean: shown(clean),
    });
  }
}

async function walk(job) {
  const { species, toSpecies, seed, toSeed, steps: count, sampler, guidance } = job;
  const ends = [noiseOf(seed), noiseOf(toSeed)];
  for (const place of ORDER) {
    const share = place / PARTS, noise = slerp(share, ...ends);
    const shares = species === toSpecies ? [[species, 1]] : [[species, 1 - share], [toSpecies, share]];
    const denoise = engine.denoiser(shares, guidance);
    let last;
    for await (const { clean } of engine.paint({ noise, steps: count, sampler, denoise })) {
      await rest(job);
      last = clean;
    }
    send(job, "frame", { step: place, noisy: shown(noise), clean: shown(last) });
  }
}

class Stopped extends Error {}

/** Looks at the mail, and ends a job that another one has followed. */
async function rest(job) {
  await new Promise((done) => setTimeout(done));
  if (job !== current) throw new Stopped();
}

const send = (job, kind, message) => postMessage({ kind, id: job.id, ...message });

function shown(samples) {
  const { channels } = model, pixels = model.pixelsOf(samples);
  const image = new Uint8ClampedArray((4 * pixels.length) / channels).fill(255);
  for (let i = 0; i < pixels.length; i++) {
    image[4 * Math.floor(i / channels) + (i % channels)] = pixels[i];
  }
  return image;
}

const methods = {
  async open({ description, network: name, files, script, providers }) {
    const [weights, program] = await load(files, (bytes) => postMessage({ kind: "progress", bytes }))
      .catch((error) => {
        throw Object.assign(error, { stage: "download" });
      });
    postMessage({ kind: "starting" });
    model = new Model(description, name);
    const network = await openNetwork({ script, program, weights, providers, model });
    engine = new Engine(model, network.evaluate);
    postMessage({ kind: "open", provider: network.provider });
  },

  async paint(job) {
    current = job;
    // A network takes one question at a time: the job before ends first, at its next look at the mail.
    const before = free;
    let leave;
    free = new Promise((done) => (leave = done));
    await before;
    try {
      if (job === current) await work(job);
    } finally {
      leave();
    }
  },

  stop() {
    current = undefined;
  },
};

async function work(job) {
  const start = performance.now(), before = engine.evaluations;
  try {
    await jobs[job.task](job);
  } catch (error) {
    if (error instanceof Stopped) return;
    throw error;
  }
  send(job, "done", {
    seconds: (performance.now() - start) / 1000, evaluations: engine.evaluations - before,
  });
}

onmessage = async ({ data: [method, argument] }) => {
  try {
    await methods[method](argument);
  } catch (error) {
    const { stage = method, name, message } = error;
    postMessage({ kind: "failed", stage, id: argument?.id, message: `${name}: ${message}` });
  }
};

postMessage({ kind: "ready" });
