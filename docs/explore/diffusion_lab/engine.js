// All that is computed: training, walks from noise, arrows, errors. It knows nothing of a page. Work is
// cut into small pieces, so that a change of settings never waits, and is done in this order: what
// the reader sees first, training when nothing else is left.

import { slicedWasserstein } from "./distance.js";
import { exactDenoiser } from "./exact.js";
import { normals, uniformOf } from "../random.js";
import { evaluations, samplerOf, taken, walk } from "../samplers.js";
import { evenLogSNR, levels } from "../stops.js";
import { SCHEDULES } from "./schedules.js";
import { Training } from "./training.js";

/** The evaluations at which errors are measured, as in the chapter on samplers. */
export const BUDGETS = [4, 10, 20, 50, 100];
export const COMPARED = ["ddim", "heun", "dpm"];
const SAMPLES = 500, FRAMES = 200, PREVIEW_STEPS = 50, ERROR_SAMPLES = 100;

/** The levels that settings visit. */
export const stopsOf = ({ schedule, stops }, steps) =>
  levels(stops === "even" ? SCHEDULES[schedule] : evenLogSNR(SCHEDULES[schedule]), steps);

/** The step that is about to be taken where the share `at` of the way is done. */
export const stepAt = (at, steps) => Math.min(Math.floor(at * steps + 1e-9), steps - 1);

export class Engine {
  constructor(send) {
    Object.assign(this, { send, jobs: new Map(), running: false, settings: {}, seconds: 0 });
  }

  /** Whether there is anything to do. */
  get busy() {
    return this.jobs.size > 0 || this.running;
  }

  /** Takes normalized points to learn, others of their kind, and where arrows start. */
  setData({ data, held, grid }) {
    Object.assign(this, { data, held, grid, exact: exactDenoiser(data), training: undefined });
    this.reset();
  }

  /** Takes the settings. Another prediction is another network. */
  set(settings) {
    const before = this.settings;
    this.settings = settings;
    if (settings.prediction !== before.prediction) this.reset();
    const { at, arrows, ...rest } = settings;
    const same = Object.entries(rest).every(([key, value]) => value === before[key]);
    if (same) this.#point();
    else this.refresh();
  }

  /** Forgets what was learned. */
  reset() {
    this.running = false;
    this.seconds = 0;
    this.jobs.clear();
    if (!this.data?.length || !this.settings.prediction) return;
    const { schedule, prediction } = this.settings;
    this.training = new Training(this.data, { schedule: SCHEDULES[schedule], prediction });
    this.#tell();
    this.refresh();
  }

  /** Trains on, or anew after the end. */
  train() {
    if (!this.training) return;
    if (this.training.done) this.reset();
    this.running = true;
    this.nextPreview = 0;
    this.#tell();
  }

  pause() {
    this.running = false;
    this.#tell();
    this.refresh();
  }

  /** Works for about so many milliseconds. */
  work(milliseconds) {
    const end = performance.now() + milliseconds;
    while (this.busy && performance.now() < end) {
      const [name, job] = this.jobs.entries().next().value ?? [];
      if (!job) this.#train();
      else if (job.next().done && this.jobs.get(name) === job) this.jobs.delete(name);
    }
  }

  #train() {
    const { training } = this, start = performance.now();
    if (this.previewStart) {
      // Looking at what was learned takes at most a third of the time.
      this.nextPreview = start + Math.max(2 * (start - this.previewStart), 150);
      this.previewStart = 0;
    }
    training.schedule = SCHEDULES[this.settings.schedule];
    training.advance();
    this.seconds += (performance.now() - start) / 1000;
    if (training.done) return this.pause();
    if (training.step % 10 === 0) this.#tell();
    if (start >= this.nextPreview) {
      this.previewStart = performance.now();
      this.#walk("learned");
      this.#point();
    }
  }

  #tell() {
    const { training: { step, numSteps, loss, done }, running, seconds } = this;
    this.send({ kind: "training", step, numSteps, loss, done, running, seconds });
  }

  /** Computes all that is shown once more. */
  refresh() {
    if (!this.training) return;
    for (const name of this.#panes()) this.#walk(name);
    this.#point();
    if (this.settings.chart && !this.running) this.jobs.set("errors", this.#errors());
  }

  #panes() {
    return ["learned", "exact"].filter((name) => [name, "both"].includes(this.settings.answer));
  }

  #point() {
    for (const name of ["learned", "exact"]) this.jobs.delete(`arrows ${name}`);
    if (!this.training || this.settings.arrows === "none") return;
    for (const name of this.#panes()) this.jobs.set(`arrows ${name}`, this.#arrows(name));
  }

  #denoiser(name) {
    return name === "exact" ? this.exact : this.training.denoise;
  }

  #walk(name) {
    if (this.#panes().includes(name)) this.jobs.set(`walk ${name}`, this.#walking(name));
  }

  *#walking(name) {
    const { settings, held } = this, { seed, sampler, eta } = settings;
    const steps = this.running ? Math.min(settings.steps, PREVIEW_STEPS) : settings.steps;
    const stops = stopsOf(settings, steps);
    // A walk of a thousand steps is for fewer points.
    const count = Math.round(Math.min(SAMPLES, Math.max(100, 1e5 / steps)));
    const noise = normals(uniformOf(seed), 2 * count), fresh = uniformOf(seed + 1e6);
    const kept = Math.min(steps, FRAMES), points = [], guesses = [], shown = [];
    const way = walk(samplerOf(sampler, eta), this.#denoiser(name), noise, stops,
      (size) => normals(fresh, size));
    let index = 0, end;
    for (const { noisy, clean } of way) {
      if (index >= Math.floor((shown.length * steps) / kept)) {
        points.push(Float32Array.from(noisy));
        guesses.push(Float32Array.from(clean));
        shown.push({ ...stops[index], step: index });
      }
      end = noisy;
      index += 1;
      yield;
    }
    const part = (start) => held.subarray(start, start + 2 * count);
    this.send({
      kind: "walk", name, points, guesses, levels: shown, steps, count,
      distance: slicedWasserstein(end, part(0)),
      between: slicedWasserstein(part(2 * count), part(0)),
    });
  }

  // Where Euler's next step leads from each place, or the score there. Places come from the view.
  *#arrows(name) {
    const { settings, grid } = this, { arrows, at, steps } = settings;
    const step = stepAt(at, steps), stops = stopsOf(settings, steps);
    const [now, after] = [stops[step], stops[step + 1]];
    const scale = Math.max(1, Math.hypot(now.noise, now.signal));
    const places = grid.map((value) => value * scale);
    const clean = this.#denoiser(name)(places, now);
    const next = taken(samplerOf("euler").step(places, now, after), () => clean).noisy;
    const scaleAfter = Math.max(1, Math.hypot(after.noise, after.signal));
    const vectors = places.map((value, i) => (arrows === "score"
      ? (now.signal * clean[i] - value) / now.noise ** 2 : next[i] / scaleAfter - grid[i]));
    this.send({ kind: "arrows", name, vectors });
    yield;
  }

  // How far the deterministic samplers end from a fine reference, at equal cost.
  *#errors() {
    const { settings } = this;
    const denoise = this.#denoiser(settings.answer === "exact" ? "exact" : "learned");
    const noise = normals(uniformOf(settings.seed), 2 * ERROR_SAMPLES);
    const { schedule } = settings, errors = {};
    const reference = yield* this.#end("dpm", denoise, noise, { schedule, stops: "ratio" }, 250);
    for (const name of COMPARED) {
      errors[name] = [];
      for (const budget of BUDGETS) {
        const steps = name === "heun" ? budget / 2 : budget;
        const end = yield* this.#end(name, denoise, noise, settings, steps);
        const sum = end.reduce((total, value, i) => total + (value - reference[i]) ** 2, 0);
        errors[name].push([evaluations(name, steps), Math.sqrt(sum / end.length)]);
      }
      this.send({ kind: "errors", errors });
    }
  }

  *#end(name, denoise, noise, settings, steps) {
    let end;
    for (const { noisy } of walk(samplerOf(name), denoise, noise, stopsOf(settings, steps))) {
      end = noisy;
      yield;
    }
    return end;
  }
}
