// What the page knows of the model: how pictures become samples, and where sampling stops.

import { cosine } from "../schedules.js";
import { evenLogSNR, evenTimes, levels } from "../stops.js";

const FINE = 1000;

// As Python does: a half goes to the even number.
const round = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

export class Model {
  /** Takes the description that `docs/_machinery/painter_data.py` wrote, and which of its networks. */
  constructor(description, network) {
    Object.assign(this, description, description.networks[network]);
    const { minSignalRate, maxSignalRate, mean, deviation, range: [low, high] } = description;
    const [height, width, channels] = description.shape;
    Object.assign(this, { height, width, channels, size: height * width * channels });
    this.even = { rates: cosine({ minSignalRate, maxSignalRate }), samplingTimes: evenTimes };
    // Students have learned to jump between even times.
    this.schedule = this.jumps ? this.even : evenLogSNR(this.even);
    this.low = mean.map((value, i) => (low - value) / deviation[i]);
    this.high = mean.map((value, i) => (high - value) / deviation[i]);
  }

  /** The number by which the network knows a species. */
  token(species) {
    return this.species.indexOf(species);
  }

  stops(steps) {
    return levels(this.schedule, steps);
  }

  /** Repainting stops at even times: both parts come to terms in the middle of the way. */
  evenStops(steps) {
    return levels(this.even, steps);
  }

  /** Where an edit begins: `first_step` of the schedule. */
  firstStep(steps, strength) {
    const within = (start, count) => Math.min(Math.max(start, 1), count - 1);
    const start = steps - round(steps * strength);
    if (!(strength > 0 && strength < 1 && steps > 1)) return start;
    if (this.jumps) return within(start, steps);
    const wanted = this.even.samplingTimes(FINE)[within(FINE - round(FINE * strength), FINE)];
    const distances = this.schedule.samplingTimes(steps).map((time) => Math.abs(time - wanted));
    return within(distances.indexOf(Math.min(...distances)), steps);
  }

  /** Normalized samples of pixels from 0 to 255. */
  samplesOf(pixels) {
    const { channels, mean, deviation } = this;
    return Float32Array.from(pixels, (value, i) =>
      (value - mean[i % channels]) / deviation[i % channels]);
  }

  /** Pixels from 0 to 255 of normalized samples. */
  pixelsOf(samples) {
    const { channels, mean, deviation } = this;
    return Uint8ClampedArray.from(samples, (value, i) =>
      mean[i % channels] + value * deviation[i % channels]);
  }
}
