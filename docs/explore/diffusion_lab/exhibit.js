// The diffusion lab: the controls, the panes, and the engine behind them.

import { Drawing, decode, encode } from "../drawing.js";
import { play, wantsStills } from "../motion.js";
import { readState, writeState } from "../state.js";
import { drawErrors } from "./chart.js";
import { GRID, Picture } from "./picture.js";
import { alongStrokes, drawPoints, isShape, normalizer } from "./points.js";
import { normals, uniformOf } from "../random.js";
import { wordPlaces } from "./words.js";

const NAME = "lab";
const SECONDS = 4; // From noise to points.
const POINTS = 1000;
const STEPS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000];

// What the lab is set to where the address says nothing. Of a switch, 1 is on.
const DEFAULTS = {
  points: "s-curve", word: "Hi", strokes: "", prediction: "noise", schedule: "cosine", stops: "ratio",
  sampler: "dpm", eta: 0, steps: 20, seed: 0, at: 0, answer: "learned", arrows: "none",
  paths: 1, guesses: 0, drowned: 0, chart: 0,
};

// The settings that the engine computes with.
const COMPUTED = ["prediction", "schedule", "stops", "sampler", "eta", "steps", "seed", "at", "answer",
  "arrows", "chart"];

export async function start(exhibit) {
  const lab = new Lab(exhibit);
  await lab.ready;
  lab.wake();
}

class Lab {
  constructor(exhibit) {
    this.find = (selector) => exhibit.querySelector(selector);
    this.exhibit = exhibit;
    this.state = { ...DEFAULTS };
    this.pictures = {
      learned: new Picture(this.find(".lab-learned")),
      exact: new Picture(this.find(".lab-exact")),
    };
    this.arrows = {};
    this.distances = {};
    this.losses = [];
    this.readAddress();
    this.drawing = new Drawing(this.pictures.learned, decode(this.state.strokes), {
      onMove: () => this.ask(), onStroke: () => this.takeStrokes(),
      label: "Points in the plane, and the samples on their way",
    });
    this.#startEngine();
    this.#takeControls();
    this.#watch();
  }

  /** Takes the place of the still picture. */
  wake() {
    this.find("img").hidden = true;
    this.find(".lab-learned").hidden = false;
    this.makeData();
    this.show();
  }

  #startEngine() {
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.ready = new Promise((resolve, reject) => {
      this.worker.onerror = (event) => {
        this.find(".exhibit-status").textContent = "The lab has stopped. Load the page again.";
        reject(new Error(event.message ?? "The engine could not be loaded"));
      };
      this.worker.onmessage = ({ data }) => {
        resolve();
        this.#take[data.kind](data);
      };
    });
  }

  #call(method, argument) {
    this.worker.postMessage([method, argument]);
  }

  // What the engine has computed.
  #take = {
    ready: () => {},
    training: (training) => {
      this.training = training;
      if (training.step === 0) this.losses = [];
      else if (training.running || training.done) this.losses.push(training.loss);
      this.showTraining();
    },
    walk: ({ name, points, guesses, levels, steps, count, distance, between }) => {
      const plane = (frames) => frames.map((frame, i) => this.#toPlane(frame, levels[i]));
      const walk = { points: plane(points), guesses: guesses.map(this.restore), levels, steps };
      this.pictures[name].setWalk(walk, performance.now(), !wantsStills());
      this.distances[name] = distance;
      Object.assign(this.distances, { between, count });
      this.showReading();
      this.ask();
    },
    arrows: ({ name, vectors }) => {
      this.arrows[name] = vectors.map((value, i) => value * this.normalizer.deviation[i % 2]);
      this.ask();
    },
    errors: ({ errors }) => drawErrors(this.find(".lab-chart svg"), errors),
  };

  // Normalized points of a level as they are drawn: never wider than they are in variance 1.
  #toPlane(points, { noise, signal }) {
    const scale = Math.max(1, Math.hypot(noise, signal));
    return this.restore(scale === 1 ? points : points.map((value) => value / scale));
  }

  readAddress() {
    for (const [key, text] of Object.entries(readState(NAME))) {
      const fallback = DEFAULTS[key], control = this.find(`[name=${CSS.escape(key)}]`);
      if (fallback === undefined) continue;
      const value = typeof fallback === "number" ? Number(text) : text;
      const known = control?.matches("select")
        ? [...control.options].some((option) => option.value === value) : value === value;
      if (known) this.state[key] = value;
    }
    const { state } = this, within = (value, most) => Math.min(Math.max(value, 0), most);
    state.steps = STEPS.reduce((best, steps) =>
      (Math.abs(steps - state.steps) < Math.abs(best - state.steps) ? steps : best));
    Object.assign(state, {
      at: within(state.at, 1), eta: within(state.eta, 1),
      seed: Math.round(within(state.seed, 9999)), word: state.word.slice(0, 6),
    });
  }

  #takeControls() {
    const { state, find } = this;
    find("[name=steps]").max = STEPS.length - 1;
    for (const key of Object.keys(DEFAULTS)) {
      const control = find(`[name=${key}]`);
      if (!control) continue;
      if (control.type === "checkbox") control.checked = Boolean(state[key]);
      else control.value = key === "steps" ? STEPS.indexOf(state.steps) : state[key];
      control.addEventListener("input", () => this.#change(key, control));
    }
    const chart = find(".lab-chart");
    chart.open = Boolean(state.chart);
    chart.addEventListener("toggle", () => this.set({ chart: Number(chart.open) }));
    const press = (name, does) => find(`[name=${name}]`).addEventListener("click", does);
    press("train", () => this.train());
    press("play", () => (this.playing ? this.stop() : this.play()));
    press("again", () => {
      find("[name=seed]").value = (state.seed + 1) % 10000;
      this.set({ seed: (state.seed + 1) % 10000 });
    });
    press("undo", () => this.drawing.undo());
    press("clear", () => this.drawing.clear());
  }

  #change(key, control) {
    if (key === "at") this.stop();
    if (key === "seed" && !control.checkValidity()) return;
    if (control.type === "checkbox") this.set({ [key]: Number(control.checked) });
    else if (key === "steps") this.set({ steps: STEPS[control.value] });
    else if (typeof DEFAULTS[key] === "number") this.set({ [key]: Number(control.value) });
    else this.set({ [key]: control.value });
  }

  #watch() {
    new ResizeObserver(() => this.ask()).observe(this.find(".lab-panes"));
    const palette = new MutationObserver(() => {
      this.colors = undefined;
      this.ask();
    });
    palette.observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  }

  /** Changes settings, and all that follows from them. */
  set(changed) {
    const { points, word } = this.state;
    Object.assign(this.state, changed);
    if (points !== this.state.points || word !== this.state.word) this.makeData();
    this.show();
    this.save();
  }

  save() {
    const changed = Object.entries(this.state).filter(([key, value]) => value !== DEFAULTS[key]);
    writeState(NAME, Object.fromEntries(changed));
  }

  takeStrokes() {
    this.state.strokes = encode(this.drawing.strokes);
    this.makeData();
    this.show();
    this.save();
  }

  /** Draws the points to learn, and others like them to compare with. */
  makeData() {
    const { points, word } = this.state;
    let places = [];
    if (points === "word") places = wordPlaces(word);
    if (points === "drawn") places = alongStrokes(this.drawing.strokes);
    this.drawing.enable(points === "drawn");
    const draw = (count, seed) => drawPoints(points, count, seed, places);
    this.empty = !isShape(points) && !places.length;
    this.data = this.empty ? new Float64Array() : draw(POINTS, 0);
    this.normalizer = normalizer(this.data);
    const { normalize, restore } = this.normalizer;
    this.restore = restore;
    this.normalized = normalize(this.data);
    this.forwardNoise = normals(uniformOf(7), this.data.length);
    for (const picture of Object.values(this.pictures)) picture.walk = picture.shown = undefined;
    this.arrows = {};
    this.distances = {};
    this.training = undefined;
    const held = this.empty ? this.data : normalize(draw(POINTS, 1));
    this.#call("setData", { data: this.normalized, held, grid: normalize(GRID) });
  }

  /** Trains, or stops for the present, or goes on. */
  train() {
    if (this.training?.running) return this.#call("pause");
    if (this.state.at < 1) this.#moveTo(1);
    this.#call("train");
  }

  /** Moves the points from noise to their places, from the start when they are there. */
  play() {
    const from = this.state.at < 1 ? this.state.at : 0;
    this.find("[name=play]").textContent = "Pause";
    this.playing = play((share) => {
      const at = Math.min(from + share, 1);
      this.#moveTo(at);
      if (at === 1) this.stop();
      return at < 1;
    }, { seconds: SECONDS, stills: 4 });
  }

  stop() {
    this.playing?.();
    this.playing = undefined;
    this.find("[name=play]").textContent = "Play";
  }

  #moveTo(at) {
    this.find("[name=at]").value = at;
    this.set({ at: Math.round(at * 1000) / 1000 });
  }

  /** Shows the settings, and asks the engine for what follows from them. */
  show() {
    const { state, find } = this;
    this.#call("set", Object.fromEntries(COMPUTED.map((key) => [key, state[key]])));
    find(".lab").dataset.answer = state.answer;
    const both = state.answer === "both";
    for (const name of ["learned", "exact"]) {
      const pane = find(`.lab-${name}`).closest(".exhibit-picture");
      pane.hidden = !both && state.answer !== name;
      pane.querySelector(".exhibit-caption").hidden = !both;
    }
    for (const control of this.exhibit.querySelectorAll("[data-for]")) {
      control.hidden = ![state.points, state.sampler].includes(control.dataset.for);
    }
    for (const key of ["eta", "steps"]) {
      find(`[name=${key}]`).parentElement.querySelector("output").textContent = state[key];
    }
    this.showTraining();
    this.showReading();
    this.ask();
  }

  showTraining() {
    const { step = 0, numSteps, loss, done, running, seconds } = this.training ?? {};
    const button = this.find("[name=train]");
    button.disabled = this.empty;
    button.textContent = running ? "Pause" : done ? "Train again" : step ? "Train on" : "Train";
    this.find(".lab-progress output").textContent = this.empty ? "Draw something in the plane"
      : step ? `Step ${step} of ${numSteps}: loss ${loss.toFixed(2)}, ${seconds.toFixed(1)} s`
        : "Not trained yet";
    const most = Math.max(...this.losses, 1e-9), count = (numSteps ?? 1) / 10;
    this.find("polyline").setAttribute("points", this.losses.map((value, i) =>
      `${((200 * i) / count).toFixed(1)},${(39 - (37 * value) / most).toFixed(1)}`).join(" "));
  }

  showReading() {
    const { pictures, state: { at, answer }, distances } = this;
    const walk = pictures[answer === "exact" ? "exact" : "learned"].walk;
    if (!walk) return;
    const { levels, steps } = walk;
    const { step, time, noise, signal } = levels[Math.floor(at * (levels.length - 1) + 1e-9)];
    const shown = (value) => value.toFixed(2);
    const text = `Step ${step} of ${steps}: time ${shown(time)}, noise rate ${shown(noise)}, `
      + `signal rate ${shown(signal)}`;
    this.find(".lab-level").textContent = text;
    this.find("[name=at]").setAttribute("aria-valuetext", text);
    const ours = [["learned", "network"], ["exact", "exact answer"]]
      .filter(([name]) => distances[name] !== undefined && [name, "both"].includes(answer))
      .filter(([name]) => name === "exact" || this.training?.step)
      .map(([name, label]) => `${label} ${shown(distances[name])}`).join(", ");
    this.find(".lab-distance").textContent = ours
      && `Distance to fresh points: ${ours}, other fresh points ${shown(distances.between)}`;
  }

  /** Asks for one drawing, however much changes until the next frame. */
  ask() {
    this.asked ??= requestAnimationFrame((now) => {
      this.asked = undefined;
      if (this.draw(now)) this.ask();
    });
  }

  draw(now) {
    const { state: { at, points, paths, guesses, drowned, arrows }, pictures } = this;
    this.colors ??= this.#colors();
    const isDrawn = points === "drawn", { strokes, pen } = this.drawing;
    let gliding = false;
    for (const [name, picture] of Object.entries(pictures)) {
      if (!picture.size) continue;
      const options = {
        at, paths, guesses, colors: this.colors, data: drowned ? this.#drowned(picture) : this.data,
        arrows: arrows !== "none" && this.arrows[name], strokes: isDrawn && name === "learned" && strokes,
        pen,
      };
      gliding = picture.draw(now, options) || gliding;
    }
    return gliding;
  }

  // The data as noisy as the samples are.
  #drowned({ walk }) {
    if (!walk) return this.data;
    const here = this.state.at * (walk.levels.length - 1), low = Math.floor(here);
    const [from, to] = [low, Math.min(low + 1, walk.levels.length - 1)].map((i) => walk.levels[i]);
    const [noise, signal] = ["noise", "signal"].map((rate) =>
      from[rate] + (here - low) * (to[rate] - from[rate]));
    const noisy = this.normalized.map((value, i) => signal * value + noise * this.forwardNoise[i]);
    return this.#toPlane(noisy, { noise, signal });
  }

  #colors() {
    const style = getComputedStyle(this.find(".lab"));
    const color = (name) => style.getPropertyValue(`--lab-${name}`).trim();
    return Object.fromEntries(["data", "samples", "guesses", "arrows"].map((n) => [n, color(n)]));
  }
}
