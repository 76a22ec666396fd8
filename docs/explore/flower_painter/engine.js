// How pictures are painted: the package's `generate`, `image_to_image` and `inpaint`, over a network
// that has to be waited for. It knows nothing of a page, nor of what runs the network.

import { awaited, firstNoisy, samplerOf } from "../samplers.js";

export class Engine {
  /**
   * `evaluate(noisy, time, tokens, until)` gives the clean samples that the network sees in one noisy
   * sample under each of the tokens, one after the other. A network that jumps ends its step at the time
   * `until`.
   */
  constructor(model, evaluate) {
    Object.assign(this, { model, evaluate, evaluations: 0 });
  }

  /**
   * A denoiser that is guided to some species, each with its share. At a scale of 1 it is not guided
   * away from anything.
   */
  denoiser(shares, scale) {
    const { size, channels, low, high, empty } = this.model;
    const wanted = shares.filter(([, share]) => share > 0);
    const tokens = [...wanted.map(([species]) => this.model.token(species)), ...scale === 1 ? [] : [empty]];
    return async (noisy, { time }, until) => {
      const seen = await this.evaluate(noisy, time, tokens, until.time);
      this.evaluations += 1;
      const clean = new Float32Array(size), away = size * wanted.length;
      for (let i = 0; i < size; i++) {
        let positive = 0;
        wanted.forEach(([, share], k) => (positive += share * seen[k * size + i]));
        const value = scale === 1 ? positive : positive + (scale - 1) * (positive - seen[away + i]);
        clean[i] = Math.min(Math.max(value, low[i % channels]), high[i % channels]);
      }
      return clean;
    };
  }

  /** Paints from noise: `generate`. Yields `{ step, level, noisy, clean }` at every stop. */
  paint({ noise, steps, ...rest }) {
    const stops = this.model.stops(steps);
    return this.#walk(firstNoisy(noise, stops[0]), stops, rest);
  }

  /** Paints over a draft, of which noise hides more or less: `image_to_image`. */
  async *overpaint({ noise, steps, draft, strength, ...rest }) {
    const stops = this.model.stops(steps), start = this.model.firstStep(steps, strength);
    const { signal, noise: rate } = stops[start];
    const mixed = start ? draft.map((value, i) => signal * value + rate * noise[i])
      : firstNoisy(noise, stops[0]);
    for await (const frame of this.#walk(mixed, stops.slice(start), rest)) {
      yield { ...frame, step: frame.step + start };
    }
  }

  /**
   * Paints where the mask is not 0, to fit the rest of a draft: `inpaint`. Each step is taken several
   * times, with noise of `drawNoise` in between.
   */
  async *repaint({ noise, steps, sampler, denoise, draft, mask, resamplings, drawNoise }) {
    const stops = this.model.evenStops(steps), { channels } = this.model;
    let noisy = firstNoisy(noise, stops[0]), clean;
    for (let step = 0; step < steps; step++) {
      const now = stops[step], after = stops[step + 1];
      const ratio = now.signal / after.signal;
      const added = Math.sqrt(Math.max(now.noise ** 2 - (ratio * after.noise) ** 2, 0));
      let here;
      for (let visit = 0; visit < (after.noise ? resamplings : 1); visit++) {
        if (visit) {
          const fresh = drawNoise();
          noisy = noisy.map((value, i) => ratio * value + added * fresh[i]);
        }
        const fresh = drawNoise();
        here = noisy.map((value, i) => (mask[Math.floor(i / channels)] ? value
          : now.signal * draft[i] + now.noise * fresh[i]));
        const taking = samplerOf(sampler).step(here, now, after);
        ({ noisy, clean } = await awaited(taking, denoise));
      }
      yield { step, level: now, noisy: here, clean };
    }
    const end = noisy.map((value, i) => (mask[Math.floor(i / channels)] ? value : draft[i]));
    yield { step: steps, level: stops[steps], noisy: end, clean: end };
  }

  async *#walk(noisy, stops, { sampler, denoise }) {
    let state, clean;
    const taking = samplerOf(sampler), last = stops.length - 1;
    for (let step = 0; step < last; step++) {
      const before = noisy;
      ({ noisy, clean, state } = await awaited(
        taking.step(noisy, stops[step], stops[step + 1], state), denoise));
      yield { step, level: stops[step], noisy: before, clean };
    }
    yield { step: last, level: stops[last], noisy, clean: noisy };
  }
}

/** The share `t` of the way from one noise to another, along a great circle: `imagegen.slerp`. */
export function slerp(t, from, to) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const lengths = [from, to].map((one) => Math.sqrt(dot(one, one)));
  const cosine = Math.min(Math.max(dot(from, to) / (lengths[0] * lengths[1]), -1), 1);
  const angle = Math.acos(cosine), sine = Math.sin(angle);
  if (sine < 1e-6) return from.map((value, i) => (1 - t) * value + t * to[i]);
  const length = (1 - t) * lengths[0] + t * lengths[1];
  const [first, second] = [(1 - t) * angle, t * angle].map((part, i) =>
    (length * Math.sin(part)) / (sine * lengths[i]));
  return from.map((value, i) => first * value + second * to[i]);
}
