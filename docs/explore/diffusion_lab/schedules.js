// The schedules of the package that make sense in the plane, with the times that sampling visits and
// those that training draws.

import { cosine, discrete, edm, flow, linearBetas, sigmoidBetas } from "../schedules.js";
import { evenTimes, interpolate, linspace } from "../stops.js";

const plain = (rates) => ({ rates, samplingTimes: evenTimes, trainingTime: (uniform) => uniform });

/** `imagegen.DiscreteSchedule(betas)`. */
function chain(betas) {
  const rates = discrete(betas), steps = betas.length;
  // The last step whose signal rate is 0.001 or more, and whole steps while there are enough.
  const last = Math.max(1, betas.filter((_, i) => rates((i + 1) / steps)[1] >= 1e-3).length);
  return {
    rates,
    samplingTimes: (numSteps) => evenTimes(numSteps).map((time) =>
      (numSteps <= last ? Math.ceil(time * last - 1e-3) : time * last) / steps),
    trainingTime: (uniform) => (Math.floor(uniform * steps) + 1) / steps,
  };
}

/** `imagegen.EDMSchedule()`, which draws the logarithm of the noise rate from a normal distribution. */
function edmSchedule() {
  const rates = edm(), root = (time) => rates(time)[0] ** (1 / 7);
  const logMean = -1.2 + Math.log(2), logDeviation = 1.2;
  return {
    rates,
    samplingTimes: (numSteps) => linspace(1, 0, numSteps),
    trainingTime: (uniform) => {
      const sigma = Math.exp(logMean + logDeviation * normalQuantile(uniform));
      const time = (sigma ** (1 / 7) - root(0)) / (root(1) - root(0));
      return Math.min(Math.max(time, 0), 1);
    },
  };
}

export const SCHEDULES = {
  cosine: plain(cosine({ maxSignalRate: 0.999 })),
  sigmoid: chain(sigmoidBetas()),
  linear: chain(linearBetas()),
  // At time 1 nothing is left of the signal, and the first step would divide by 0.
  flow: { ...plain(flow()), samplingTimes: (n) => evenTimes(n).map((time) => 0.999 * time) },
  edm: edmSchedule(),
};

// The normal distribution's quantiles: its density, summed up once by the trapezoidal rule.
const NORMAL = linspace(-5, 5, 4001);
const SHARES = [0];

function normalQuantile(share) {
  if (SHARES.length === 1) {
    const density = NORMAL.map((x) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI));
    for (let i = 1; i < NORMAL.length; i++) {
      SHARES.push(SHARES[i - 1] + ((density[i - 1] + density[i]) / 2) * (NORMAL[i] - NORMAL[i - 1]));
    }
  }
  return interpolate(Math.min(Math.max(share, 5e-7), 1 - 5e-7), SHARES, NORMAL);
}
