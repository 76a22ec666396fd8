// The schedules of `imagegen.schedules` and `imagegen.discrete`: functions from a time, 0 to 1, to
// `[noise rate, signal rate]`.

/** `imagegen.CosineSchedule`. */
export function cosine({ minSignalRate = 0.02, maxSignalRate = 0.95 } = {}) {
  const start = Math.acos(maxSignalRate), end = Math.acos(minSignalRate);
  return (time) => {
    const angle = start + time * (end - start);
    return [Math.sin(angle), Math.cos(angle)];
  };
}

/** `imagegen.ShiftedCosineSchedule`, for squares of `imageSize` pixels. */
export function shiftedCosine({ imageSize = 128, baseSize = 64, logSNRRange = [-10, 10] } = {}) {
  const [end, start] = logSNRRange.map((ratio) => Math.atan(Math.exp(-ratio / 2)));
  return (time) => {
    const angle = start + time * (end - start);
    const shifted = Math.atan2(Math.sin(angle) * imageSize, Math.cos(angle) * baseSize);
    return [Math.sin(shifted), Math.cos(shifted)];
  };
}

/** `imagegen.FlowSchedule`. */
export function flow({ shift = 1 } = {}) {
  return (time) => {
    const noise = (shift * time) / (1 + (shift - 1) * time);
    return [noise, 1 - noise];
  };
}

/** `imagegen.EDMSchedule`. */
export function edm({ sigmaMin = 0.002, sigmaMax = 80, rho = 7 } = {}) {
  const low = sigmaMin ** (1 / rho), high = sigmaMax ** (1 / rho);
  return (time) => [(high + (1 - time) * (low - high)) ** rho, 1];
}

/** `imagegen.DiscreteSchedule`: between two steps, the logarithm of the signal is linear. */
export function discrete(betas) {
  const logs = [0];
  for (const beta of betas) logs.push(logs.at(-1) + Math.log1p(-beta));
  return (time) => {
    const step = time * betas.length;
    const below = Math.min(Math.max(Math.floor(step), 0), betas.length - 1);
    const log = logs[below] + (step - below) * (logs[below + 1] - logs[below]);
    return [Math.sqrt(0 - Math.expm1(log)), Math.exp(log / 2)];
  };
}

/** `imagegen.constant_betas`. */
export const constantBetas = (numSteps = 1000, beta = 0.01) => Array(numSteps).fill(beta);

/** `imagegen.linear_betas`. */
export const linearBetas = (numSteps = 1000, start = 1e-4, end = 0.02) =>
  Array.from({ length: numSteps }, (_, i) => start + ((end - start) * i) / (numSteps - 1));

/** `imagegen.quadratic_betas`. */
export const quadraticBetas = (numSteps = 1000, start = 1e-4, end = 0.02) =>
  linearBetas(numSteps, Math.sqrt(start), Math.sqrt(end)).map((root) => root ** 2);

/** `imagegen.sigmoid_betas`. */
export const sigmoidBetas = (numSteps = 1000, start = 1e-4, end = 0.02) =>
  linearBetas(numSteps, -6, 6).map((x) => start + (end - start) / (1 + Math.exp(-x)));

/** `imagegen.cosine_betas`. */
export function cosineBetas(numSteps = 1000, offset = 0.008, maxBeta = 0.999) {
  const signal = (step) =>
    Math.cos(((step / numSteps + offset) / (1 + offset)) * (Math.PI / 2)) ** 2;
  return Array.from({ length: numSteps }, (_, i) =>
    Math.min(1 - signal(i + 1) / signal(i), maxBeta));
}
