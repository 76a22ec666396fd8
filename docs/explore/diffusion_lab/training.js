// Training: a quiz. Mix points with noise, let the network predict, and move its weights by Adam. Beside
// them stands their moving average, as in `imagegen.DiffusionModel`, and sampling uses that.

import { Adam, PointMLP } from "./network.js";
import { PREDICTIONS } from "./predictions.js";
import { normals, uniformOf } from "../random.js";

const GROUPS = 16, EACH = 8, BATCH = GROUPS * EACH;
const RATE = 1e-2, AVERAGING = 0.99;

/** The network's output for noisy points. It sees them at unit variance, on every schedule. */
export function outputOf(network, noisy, levels, weights) {
  const each = noisy.length / levels.length;
  const scales = levels.map(({ noise, signal }) => 1 / Math.hypot(noise, signal));
  const scaled = Float64Array.from(noisy, (value, i) => value * scales[Math.floor(i / each)]);
  return network.forward(scaled, levels.map(({ noise }, i) => noise * scales[i]), weights);
}

/** Returns `denoise(noisy, level)` of a network with some weights. */
export function learnedDenoiser(network, weights, prediction) {
  const { denoised } = PREDICTIONS[prediction];
  return (noisy, level) => {
    const output = outputOf(network, noisy, [level], weights);
    return noisy.map((value, i) => denoised(value, output[i], level.noise, level.signal));
  };
}

export class Training {
  constructor(data, { schedule, prediction, seed = 0, numSteps = 1500 }) {
    Object.assign(this, { data, schedule, prediction, numSteps, step: 0, loss: NaN });
    this.uniform = uniformOf(seed);
    this.network = new PointMLP();
    this.network.initialize(this.uniform);
    this.averaged = this.network.weights.slice();
    this.adam = new Adam(this.network.size);
  }

  get done() {
    return this.step >= this.numSteps;
  }

  get denoise() {
    return learnedDenoiser(this.network, this.averaged, this.prediction);
  }

  advance() {
    const { data, network, averaged, uniform } = this;
    const { target } = PREDICTIONS[this.prediction];
    // One time from each of so many equal parts: as random as free draws, and calmer.
    const levels = Array.from({ length: GROUPS }, (_, group) => {
      const time = this.schedule.trainingTime((group + uniform()) / GROUPS);
      const [noise, signal] = this.schedule.rates(time);
      return { time, noise, signal };
    });
    const noise = normals(uniform, 2 * BATCH), noisy = noise.slice(), wanted = noise.slice();
    for (let i = 0; i < 2 * BATCH; i += 2) {
      const { noise: n, signal: s } = levels[Math.floor(i / (2 * EACH))];
      const point = 2 * Math.floor((uniform() * data.length) / 2);
      for (const j of [0, 1]) {
        noisy[i + j] = s * data[point + j] + n * noise[i + j];
        wanted[i + j] = target(data[point + j], noise[i + j], n, s);
      }
    }
    const output = outputOf(network, noisy, levels);
    let loss = 0;
    const gradient = output.map((value, i) => {
      loss += (value - wanted[i]) ** 2 / output.length;
      return (2 * (value - wanted[i])) / output.length;
    });
    network.backward(gradient);
    // The rate falls to 0 along a cosine, so that the end is calm.
    const rate = (RATE * (1 + Math.cos((Math.PI * this.step) / this.numSteps))) / 2;
    this.adam.step(network.weights, network.gradient, rate);
    const kept = Math.min(AVERAGING, (1 + this.step) / (10 + this.step));
    for (let i = 0; i < averaged.length; i++) {
      averaged[i] = kept * averaged[i] + (1 - kept) * network.weights[i];
    }
    this.step += 1;
    this.loss = this.step === 1 ? loss : 0.95 * this.loss + 0.05 * loss;
  }
}
