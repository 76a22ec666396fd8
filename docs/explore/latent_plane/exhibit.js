// The latent plane of the preset `digits-2d`, under the reader's hand.

import { play } from "../motion.js";
import { readState, writeState } from "../state.js";
import { PlaneMap } from "./map.js";
import { loadNetwork } from "./network.js";
import { Pad } from "./pad.js";

const NAME = "plane";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const SECONDS = 4; // From one end of the walk to the other.

const address = (name) => new URL(name, import.meta.url);

export async function start(exhibit) {
  const [decode, plane] = await Promise.all([loadNetwork(address("decoder.bin")), loadPlane()]);
  new Plane(exhibit, decode, plane);
}

async function loadPlane() {
  const { limit, digits } = await (await fetch(address("digits.json"))).json();
  const withPoint = ([x, y, label]) => ({ point: [x / 100, y / 100], label });
  return { limit, digits: digits.map(withPoint) };
}

class Plane {
  constructor(exhibit, decode, plane) {
    const find = (selector) => exhibit.querySelector(selector);
    this.decode = decode;
    this.output = find("output");
    this.status = find(".exhibit-status");
    this.slider = find("[name=along]");
    this.playButton = find("[name=play]");
    this.digit = find(".plane-digit").getContext("2d");
    for (const canvas of exhibit.querySelectorAll("canvas")) canvas.hidden = false;
    find("img:has(+ .plane-digit)").hidden = true;
    const dots = find(".plane-dots");
    this.map = new PlaneMap(dots, plane, () => this.ask());

    const first = (wanted) => plane.digits.find(({ label }) => label === wanted).point;
    const state = readState(NAME);
    this.from = this.pointFrom(state.from) ?? first(1);
    this.to = this.pointFrom(state.to) ?? first(0);
    this.point = this.pointFrom(state.at) ?? this.from;
    this.slider.value = state.along ?? 0;
    this.takeHands(dots);
    this.pad = new Pad(find(".plane-pad"), () => this.loadEncoder(), () => this.encodeDrawing());
    this.takeControls(find);
    this.show();
  }

  takeHands(dots) {
    dots.addEventListener("pointerdown", (event) => {
      dots.setPointerCapture(event.pointerId);
      this.moveTo(this.map.pointAt(event));
    });
    dots.addEventListener("pointermove", (event) => {
      if (dots.hasPointerCapture(event.pointerId)) this.moveTo(this.map.pointAt(event));
    });
    dots.addEventListener("keydown", (event) => {
      const step = ARROWS[event.key];
      if (!step) return;
      event.preventDefault(); // Or the page scrolls.
      const length = event.shiftKey ? 0.25 : 0.05;
      this.moveTo(this.point.map((place, axis) => place + length * step[axis]));
    });
  }

  takeControls(find) {
    for (const end of ["from", "to"]) {
      find(`[name=${end}]`).addEventListener("click", () => {
        this[end] = this.point;
        this.slider.value = end === "from" ? 0 : 1;
        this.moveTo(this.point);
      });
    }
    this.slider.addEventListener("input", () => {
      this.stop();
      this.walk(Number(this.slider.value));
    });
    this.playButton.addEventListener("click", () => (this.playing ? this.stop() : this.play()));
    find("[name=clear]").addEventListener("click", () => this.pad.clear());
  }

  /** The reader puts the point somewhere, which ends a walk that is going on. */
  moveTo(point) {
    this.stop();
    this.point = this.map.inside(point);
    this.save();
    this.ask();
  }

  /** Puts the point on the way from one end of the walk, 0, to the other, 1. */
  walk(share) {
    this.point = this.from.map((start, axis) => start + share * (this.to[axis] - start));
    this.save();
    this.ask();
  }

  play() {
    const from = Number(this.slider.value);
    this.playButton.textContent = "Pause";
    this.playing = play((share) => {
      const way = (from + share) % 2; // There, and back.
      this.slider.value = way > 1 ? 2 - way : way; // It has fewer places than a walk has pictures.
      this.walk(way > 1 ? 2 - way : way);
    }, { seconds: SECONDS, stills: 8 });
  }

  stop() {
    this.playing?.();
    this.playing = undefined;
    this.playButton.textContent = "Play";
  }

  /** The encoder is as large as the decoder: it comes when the reader turns to the pad. */
  async loadEncoder() {
    if (this.encode) return;
    this.status.textContent = "Loading the encoder …";
    try {
      this.loading ??= loadNetwork(address("encoder.bin"));
      this.encode = await this.loading;
      this.status.textContent = "";
      this.encodeDrawing();
    } catch (error) {
      console.warn(error);
      this.loading = undefined;
      this.status.textContent = "The encoder could not be loaded. Come back to the pad to try again.";
    }
  }

  encodeDrawing() {
    const picture = this.encode && this.pad.picture();
    if (picture) this.moveTo([...this.encode(picture)]);
  }

  /** Asks for one picture, however often the point moves until the next frame. */
  ask() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = undefined;
      this.show();
    });
  }

  show() {
    const pixels = this.decode(Float32Array.from(this.point));
    const image = this.digit.createImageData(28, 28);
    pixels.forEach((pixel, i) => {
      image.data.fill(255 * pixel, 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    });
    this.digit.putImageData(image, 0, 0);
    this.map.draw(this.point, this.from, this.to);
    const around = this.map.around(this.point, 10).map(([label, count]) =>
      `${count} ${NUMBERS[label]}${count === 1 ? "" : label === 6 ? "es" : "s"}`);
    this.output.textContent =
      `Point (${this.point.map(shown).join(", ")}). The ten nearest dots: ${around.join(", ")}`;
  }

  /** A point from the address, or undefined where there is none. */
  pointFrom(text) {
    const numbers = text?.split(",").map(Number);
    return numbers?.length === 2 && numbers.every(Number.isFinite)
      ? this.map.inside(numbers) : undefined;
  }

  save() {
    const [at, from, to] = [this.point, this.from, this.to].map((point) => point.map(short));
    writeState(NAME, { at, from, to, along: this.slider.value });
  }
}

const short = (x) => x.toFixed(2);
const shown = (x) => short(x).replace("-", "−");
