// The flower painter: the controls, the two pictures, and the worker that paints.

import { Drawing, decode, encode } from "../drawing.js";
import { readState, writeState } from "../state.js";
import { missing } from "./download.js";
import { MaskPicture, maskOf } from "./mask.js";
import { pixelsOf } from "./picture.js";

const NAME = "painter";
const PARTS = 8; // Of the walk between two flowers.
const TILES = 9; // Of the strip.
const PAUSE = 200; // Milliseconds that settings rest before they are painted.

// What the painter is set to where the address says nothing; the network says more.
const DEFAULTS = {
  task: "noise", network: "teacher", species: "sunflower", seed: 2, toSpecies: "corn poppy", toSeed: 1,
  resamplings: 3, strength: 0.6, strokes: "",
};

const address = (name) => new URL(name, import.meta.url).href;
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

export async function start(exhibit) {
  const [description, runtime] = await Promise.all(["model.json", "runtime.json"].map(async (name) => {
    const answer = await fetch(address(name));
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    return answer.json();
  }));
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const painter = new Painter(exhibit, description, runtime.builds, Boolean(adapter));
  await painter.ready;
  await painter.announce();
}

class Painter {
  constructor(exhibit, description, builds, hasGPU) {
    this.find = (selector) => exhibit.querySelector(selector);
    this.exhibit = exhibit;
    this.description = description;
    this.build = builds[hasGPU ? "webgpu" : "wasm"];
    this.providers = hasGPU ? ["webgpu", "wasm"] : ["wasm"];
    this.phase = "closed";
    this.frames = [];
    this.jobs = 0;
    this.defaults = { ...DEFAULTS };
    this.state = { ...this.defaults };
    for (const name of ["noisy", "guess"]) {
      const [height, width] = description.shape;
      Object.assign(this.find(`.painter-${name}`), { width, height });
    }
    const { network } = readState(NAME);
    this.#takeNetwork(Object.hasOwn(description.networks, network) ? network : DEFAULTS.network);
    this.#fillLists();
    this.readAddress();
    this.mask = new MaskPicture(this.find(".painter-mask"));
    this.drawing = new Drawing(this.mask, decode(this.state.strokes), {
      onMove: () => this.showMask(true), onStroke: () => this.takeStrokes(), label: "",
    });
    this.#takeControls();
    this.#takePictures();
    this.#startWorker();
    this.show();
  }

  #startWorker() {
    this.worker?.terminate();
    this.painting = false;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.ready = new Promise((resolve, reject) => {
      this.worker.onerror = (event) => {
        reject(new Error(event.message ?? "The worker could not be loaded"));
        this.#close("The painter has stopped. Press the button to start it again.");
      };
      this.worker.onmessage = ({ data }) => {
        resolve();
        const isOld = data.id !== undefined && data.id !== this.jobs;
        if (!isOld) this.#take[data.kind](data);
      };
    });
    this.ready.catch(() => {});
  }

  // What the worker has to say.
  #take = {
    ready: () => {},
    progress: ({ bytes }) => {
      this.find("progress").value = bytes / this.bytes;
      this.say(`${megabytes(bytes)} of ${megabytes(this.bytes)} MB`);
    },
    starting: () => this.say("Starting the network …"),
    open: ({ provider }) => {
      this.phase = "open";
      this.provider = { webgpu: "WebGPU", wasm: "WebAssembly" }[provider];
      this.find("progress").hidden = true;
      this.show();
      this.paint();
    },
    draft: ({ picture }) => this.#draw("guess", picture),
    frame: (frame) => {
      this.frames[frame.step] = frame;
      if (this.follows) this.find("[name=at]").value = frame.step;
      this.showFrame();
      this.showStrip();
    },
    done: ({ seconds, evaluations }) => {
      this.painting = false;
      this.showButton();
      const time = this.find(".painter-time");
      // There may be nothing yet but what is to be painted over.
      if (!this.frames.length) return void (time.textContent = "\u00a0");
      delete this.mask.canvas.dataset.waits;
      if (this.painted.task === "walk" && this.follows) {
        this.find("[name=at]").value = PARTS / 2; // Where both flowers meet.
        this.showFrame();
      }
      const each = ((1000 * seconds) / evaluations).toFixed(0);
      const times = evaluations === 1 ? "1 evaluation" : `${evaluations} evaluations`;
      time.textContent = `Painted in ${seconds.toFixed(1)} s by ${this.provider}: `
        + `${times} of ${each} ms`;
    },
    failed: ({ stage, message }) => {
      console.warn(message);
      const isFull = /memory|alloc/i.test(message);
      if (isFull) {
        this.#close("This device has too little memory left. Close other pages, and try again.");
      } else if (stage === "download") {
        this.#close("The download failed. Press the button to try again.");
      } else if (stage === "open") {
        this.#close("The network could not be started in this browser.");
      } else this.#close("Painting failed. Press the button to start the painter again.");
    },
  };

  /** Gives up what is running, with a sentence, and can begin anew. */
  #close(sentence) {
    this.phase = "closed";
    this.#startWorker();
    this.find("progress").hidden = false;
    this.find("progress").value = 0;
    this.show();
    this.say(sentence);
    this.measure(); // A part may have come.
  }

  say(sentence) {
    this.find(".painter-words").textContent = sentence;
  }

  /** Says what a download would take, and whether it is one. */
  async announce() {
    const wanted = await this.measure();
    if (!this.build) {
      this.say("This copy of the site was built without the program that runs networks in a browser, "
        + "so the picture stays still.");
    } else if (this.kept) this.say("The network is here from an earlier visit.");
    else {
      const what = wanted.length < this.files.length ? "One more file has"
        : "The network and what runs it have";
      this.say(`${what} to be downloaded once: ${megabytes(this.bytes)} MB.`);
    }
  }

  /** Looks which files have to be downloaded. */
  async measure() {
    const wanted = await missing(this.files);
    this.bytes = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
    this.kept = !wanted.length;
    this.showButton();
    return wanted;
  }

  showButton() {
    const button = this.find("[name=paint]");
    button.disabled = !this.build;
    button.textContent = this.phase === "open" ? this.painting ? "Stop" : "Paint"
      : this.phase === "loading" ? "Stop" : this.kept || !this.build ? "Start"
        : `Download ${megabytes(this.bytes)} MB`;
  }

  /** The button: downloads, paints, or stops the one or the other. */
  press() {
    if (this.phase === "loading") {
      return this.#close("Stopped. Press the button to begin again.");
    }
    if (this.phase === "closed") return this.open();
    if (!this.painting) return this.paint();
    this.worker.postMessage(["stop"]);
    this.jobs += 1;
    this.painting = false;
    this.showButton();
  }

  open() {
    this.phase = "loading";
    this.say("Loading …");
    this.showButton();
    const { description, state: { network }, files, providers } = this;
    const script = address(this.build.script);
    this.worker.postMessage(["open", { description, network, files, script, providers }]);
  }

  // Settles on a network: its file, how many steps it takes, and how it is set.
  #takeNetwork(network) {
    this.model = { ...this.description, ...this.description.networks[network] };
    const { file, steps, sampler, guidance, stepsToChoose } = this.model;
    this.files = [file, this.build?.file].filter(Boolean).map((one) => ({ ...one, url: address(one.name) }));
    Object.assign(this.defaults, { steps, sampler, guidance });
    Object.assign(this.state, { network, steps, sampler, guidance });
    this.find("[name=steps]").max = stepsToChoose.length - 1;
  }

  /** Takes another network, which is opened at once where nothing has to be downloaded. */
  async choose(network) {
    const wasOpen = this.phase === "open";
    clearTimeout(this.waiting);
    this.#takeNetwork(network);
    this.#fillControls();
    this.#close("");
    this.save();
    await this.announce();
    if (wasOpen && this.kept && this.phase === "closed") this.open();
  }

  /** Paints what is set, and leaves what was being painted. */
  paint() {
    clearTimeout(this.waiting);
    if (this.phase !== "open") return;
    const { state } = this, [height] = this.model.shape, mask = maskOf(this.drawing.strokes, height);
    // The settings may change while these frames are still looked at.
    const painted = { task: state.task, steps: state.steps };
    Object.assign(this, { frames: [], painted, follows: true, painting: true, jobs: this.jobs + 1 });
    this.find("[name=at]").max = state.task === "walk" ? PARTS : state.steps;
    this.find(".painter-time").textContent = "Painting …";
    this.showStrip();
    this.say(state.task === "repaint" && !mask.includes(1)
      ? "Draw on the right picture what is to be painted anew." : "");
    this.showButton();
    this.worker.postMessage(["paint", {
      ...state, id: this.jobs, draft: this.draft, mask: mask.includes(1) ? mask : undefined,
    }]);
  }

  paintSoon() {
    clearTimeout(this.waiting);
    if (this.phase === "open") this.waiting = setTimeout(() => this.paint(), PAUSE);
  }

  #fillLists() {
    const names = [...this.model.species].sort();
    for (const key of ["species", "toSpecies"]) {
      this.find(`[name=${key}]`).replaceChildren(...names.map((name) => new Option(name)));
    }
    for (const key of ["species", "toSpecies"]) {
      if (!names.includes(this.defaults[key])) this.state[key] = this.defaults[key] = names[0];
    }
  }

  readAddress() {
    const { state, defaults, find } = this;
    for (const [key, text] of Object.entries(readState(NAME))) {
      const fallback = defaults[key], control = find(`[name=${CSS.escape(key)}]`);
      if (fallback === undefined) continue;
      const value = typeof fallback === "number" ? Number(text) : text;
      const known = control?.matches("select")
        ? [...control.options].some((option) => option.value === value) : value === value;
      if (known) state[key] = value;
    }
    const within = (value, least, most) => Math.min(Math.max(value, least), most);
    state.steps = this.model.stepsToChoose.reduce((best, steps) =>
      (Math.abs(steps - state.steps) < Math.abs(best - state.steps) ? steps : best));
    // What a student has learned can't be chosen.
    if (this.model.jumps) Object.assign(state, { guidance: defaults.guidance, sampler: defaults.sampler });
    Object.assign(state, {
      guidance: within(state.guidance, 1, 8), strength: within(state.strength, 0.1, 1),
      resamplings: Math.round(within(state.resamplings, 1, 10)),
      seed: Math.round(within(state.seed, 0, 9999)), toSeed: Math.round(within(state.toSeed, 0, 9999)),
    });
  }

  #fillControls() {
    const { state, model: { stepsToChoose }, find } = this;
    for (const key of Object.keys(this.defaults)) {
      const control = find(`[name=${key}]`);
      if (control) control.value = key === "steps" ? stepsToChoose.indexOf(state.steps) : state[key];
    }
  }

  #takeControls() {
    const { state, find } = this;
    this.#fillControls();
    for (const key of Object.keys(this.defaults)) {
      const control = find(`[name=${key}]`);
      control?.addEventListener("input", () => this.#change(key, control));
    }
    const press = (name, does) => find(`[name=${name}]`).addEventListener("click", does);
    press("paint", () => this.press());
    for (const [name, key] of [["again", "seed"], ["toAgain", "toSeed"]]) {
      press(name, () => {
        find(`[name=${key}]`).value = (state[key] + 1) % 10000;
        this.set({ [key]: (state[key] + 1) % 10000 });
      });
    }
    press("undo", () => this.drawing.undo());
    press("clear", () => this.drawing.clear());
    find("[name=at]").addEventListener("input", () => {
      this.follows = false;
      this.showFrame();
    });
    const strip = find(".painter-strip");
    strip.addEventListener("pointerdown", ({ offsetX }) => {
      const at = find("[name=at]"), share = Math.min(Math.max(offsetX / strip.clientWidth, 0), 0.999);
      at.value = Math.round((Math.floor(share * TILES) / (TILES - 1)) * at.max);
      at.dispatchEvent(new Event("input"));
    });
    new ResizeObserver(() => this.showMask()).observe(find(".painter-panes"));
  }

  // A picture of the reader's own, chosen or dropped.
  #takePictures() {
    const file = this.find("[name=file]"), panes = this.find(".painter-panes");
    file.addEventListener("change", () => file.files[0] && this.takePicture(file.files[0]));
    this.find("[name=forget]").addEventListener("click", () => this.takePicture(null));
    const mark = (isOver) => {
      for (const pane of panes.children) pane.toggleAttribute("data-dropping", isOver);
    };
    panes.addEventListener("dragover", (event) => {
      event.preventDefault(); // Or the browser opens what is dropped.
      mark(true);
    });
    panes.addEventListener("dragleave", () => mark(false));
    panes.addEventListener("drop", (event) => {
      event.preventDefault();
      mark(false);
      const [dropped] = event.dataTransfer.files;
      if (dropped) this.takePicture(dropped);
    });
  }

  async takePicture(file) {
    const [height, width, channels] = this.model.shape;
    try {
      this.draft = file ? await pixelsOf(file, { height, width, channels }) : undefined;
    } catch (error) {
      console.warn(error);
      return this.say("This browser can't read that file as a picture.");
    }
    if (!file) this.find("[name=file]").value = "";
    this.find("[name=forget]").hidden = !file;
    const task = this.state.task === "repaint" ? "repaint" : "picture";
    this.find("[name=task]").value = task;
    this.set({ task });
    if (file && this.phase !== "open") this.say("The picture is here. It waits for the network.");
  }

  #change(key, control) {
    if (!control.checkValidity()) return;
    if (key === "network") this.choose(control.value);
    else if (key === "steps") this.set({ steps: this.model.stepsToChoose[control.value] });
    else this.set({ [key]: typeof this.defaults[key] === "number" ? Number(control.value) : control.value });
  }

  /** Changes settings, and all that follows from them. */
  set(changed) {
    Object.assign(this.state, changed);
    this.show();
    this.save();
    this.paintSoon();
  }

  save() {
    const changed = Object.entries(this.state).filter(([key, value]) => value !== this.defaults[key]);
    writeState(NAME, Object.fromEntries(changed));
  }

  takeStrokes() {
    this.showMask(true);
    this.set({ strokes: encode(this.drawing.strokes) });
  }

  /** Shows the settings. */
  show() {
    const { state, find } = this, { task } = state;
    for (const control of this.exhibit.querySelectorAll("[data-for]")) {
      control.hidden = !control.dataset.for.split(" ").includes(task);
    }
    // A picture of the reader's own takes the place of the first flower.
    const isOwn = Boolean(this.draft) && ["repaint", "picture"].includes(task);
    for (const control of this.exhibit.querySelectorAll("[data-own]")) control.hidden = isOwn;
    const { jumps } = this.model;
    for (const control of this.exhibit.querySelectorAll("[data-guided]")) control.hidden = jumps;
    find(".painter-second").textContent = {
      repaint: "Paint there", picture: "Turn into",
    }[task] ?? "Second species";
    for (const key of ["guidance", "steps", "strength", "resamplings"]) {
      find(`[name=${key}]`).parentElement.querySelector("output").textContent = state[key];
    }
    const [from, to] = task === "walk" ? ["first", "second"] : ["noise", "flower"];
    find(".painter-from").textContent = from;
    find(".painter-to").textContent = to;
    const draws = task === "repaint" && this.phase === "open";
    find(".painter-mask").hidden = !draws;
    this.drawing.enable(draws);
    this.showMask();
    this.showButton();
  }

  /** Draws the mask, which stays in sight while it waits to be painted. */
  showMask(waits) {
    const { canvas } = this.mask;
    if (waits) canvas.dataset.waits = "";
    if (canvas.clientWidth) this.mask.draw(this.drawing);
  }

  showFrame() {
    const { frames } = this, at = Number(this.find("[name=at]").value);
    const [frame] = frames.filter(Boolean)
      .sort((a, b) => Math.abs(a.step - at) - Math.abs(b.step - at));
    if (!frame) return;
    this.#draw("noisy", frame.noisy);
    this.#draw("guess", frame.clean);
    const { step, level } = frame, { task, steps } = this.painted;
    const rate = (value) => value.toFixed(2);
    const text = task === "walk" ? `Flower ${step + 1} of ${PARTS + 1} on the walk`
      : `Step ${step} of ${steps}: noise rate ${rate(level.noise)}, signal rate ${rate(level.signal)}`;
    this.find(".painter-level").textContent = text;
    this.find("[name=at]").setAttribute("aria-valuetext", text);
  }

  /** Shows the guesses of the whole way, from left to right, as far as they are there. */
  showStrip() {
    const strip = this.find(".painter-strip"), most = this.find("[name=at]").max;
    const [height, width] = this.model.shape;
    Object.assign(strip, { height, width: TILES * width });
    for (let tile = 0; tile < TILES; tile++) {
      const frame = this.frames[Math.round((tile / (TILES - 1)) * most)];
      if (!frame) continue;
      strip.getContext("2d").putImageData(new ImageData(frame.clean, width), tile * width, 0);
    }
  }

  #draw(name, pixels) {
    const canvas = this.find(`.painter-${name}`), pane = canvas.parentElement;
    canvas.getContext("2d").putImageData(new ImageData(pixels, canvas.width), 0, 0);
    canvas.hidden = false;
    pane.querySelector("img").hidden = true;
    pane.querySelector(".exhibit-caption").hidden = false;
  }
}
