// One flower and one noise, mixed at one time under every schedule.

import {
  constantBetas, cosine, cosineBetas, discrete, edm, flow, linearBetas, quadraticBetas,
  shiftedCosine, sigmoidBetas,
} from "../schedules.js";
import { readState, writeState } from "../state.js";
import { loadFlower } from "./mixing.js";
import { Plot } from "./plot.js";

export const SCHEDULES = {
  cosine: cosine(),
  shifted: shiftedCosine(),
  flow: flow(),
  flow3: flow({ shift: 3 }),
  edm: edm(),
  constant: discrete(constantBetas()),
  linear: discrete(linearBetas()),
  quadratic: discrete(quadraticBetas()),
  sigmoid: discrete(sigmoidBetas()),
  cosine_betas: discrete(cosineBetas()),
};
const NAME = "schedules";

export async function start(exhibit) {
  new Mixer(exhibit, await loadFlower(import.meta.url));
}

/** The logarithm of the signal-to-noise ratio. */
const logRatio = ([noise, signal]) => 2 * Math.log(signal / noise);

class Mixer {
  constructor(exhibit, flower) {
    const find = (selector) => exhibit.querySelector(selector);
    this.flower = flower;
    this.picture = find(".schedules-picture canvas");
    this.output = find("output");
    this.time = find("[name=time]");
    this.even = find("[name=even]");
    this.cards = [...exhibit.querySelectorAll("[name=schedule]")];
    this.rates = new Plot(find(".schedules-rates"), 0, 1);
    this.ratio = new Plot(find(".schedules-ratio"), -12, 12);

    const state = readState(NAME);
    this.time.value = state.time ?? 0.4;
    this.even.checked = state.even === "1";
    this.choose(Object.hasOwn(SCHEDULES, state.schedule) ? state.schedule : "cosine");
    this.seed = Number(state.seed) || 0;
    flower.drawNoise(this.seed);

    this.ratio.svg.querySelector(".others").setAttribute("d", Object.values(SCHEDULES)
      .map((schedule) => this.ratio.path((time) => logRatio(schedule(time)))).join(""));
    this.picture.hidden = false;
    find(".schedules-picture img").hidden = true;
    find("[name=noise]").addEventListener("click", () => {
      this.seed += 1;
      flower.drawNoise(this.seed);
    });
    // What any control says is heard here, once the control itself has changed.
    for (const kind of ["input", "click"]) exhibit.addEventListener(kind, () => this.ask());
    this.show();
  }

  choose(name) {
    for (const card of this.cards) card.checked = card.value === name;
  }

  ask() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = undefined;
      this.show();
      this.save();
    });
  }

  show() {
    const time = Number(this.time.value), isEven = this.even.checked;
    const chosen = this.cards.find((card) => card.checked).value, schedule = SCHEDULES[chosen];
    for (const card of this.cards) {
      const canvas = card.closest("label").querySelector("canvas");
      this.paint(canvas, SCHEDULES[card.value](time), isEven);
    }
    const rates = schedule(time), [noise, signal] = rates;
    this.paint(this.picture, rates, isEven);

    const scale = (some) => (isEven ? 1 / Math.hypot(...some) : 1);
    const curve = (index) => (at) => schedule(at)[index] * scale(schedule(at));
    this.rates.range(0, isEven ? 1 : Math.max(...schedule(1)) > 1 ? schedule(1)[0] : 1);
    this.rates.draw("signal", curve(1));
    this.rates.draw("noise", curve(0));
    this.rates.mark(time, { signal: curve(1)(time), noise: curve(0)(time) });
    this.ratio.draw("chosen", (at) => logRatio(schedule(at)));
    this.ratio.mark(time, { chosen: logRatio(rates) });

    const variance = (noise ** 2 + signal ** 2) * scale(rates) ** 2;
    this.output.textContent =
      `Time ${time.toFixed(2)}: signal rate ${curve(1)(time).toFixed(3)}, noise rate ` +
      `${curve(0)(time).toFixed(3)}, variance ${variance.toFixed(3)}, log signal-to-noise ratio ` +
      logRatio(rates).toFixed(2).replace("-", "−").replace("Infinity", "∞");
  }

  paint(canvas, rates, isEven) {
    canvas.getContext("2d").putImageData(this.flower.mixed(rates, isEven), 0, 0);
  }

  save() {
    const schedule = this.cards.find((card) => card.checked).value;
    const even = Number(this.even.checked);
    writeState(NAME, { time: this.time.value, schedule, seed: this.seed, even });
  }
}
