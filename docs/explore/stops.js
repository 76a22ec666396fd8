// Where sampling stops on its way. A schedule is an object of `rates(time)`, which gives the noise rate
// and the signal rate, and `samplingTimes(numSteps)`.

/** So many numbers from `start` to `end`, evenly. */
export const linspace = (start, end, count) =>
  Array.from({ length: count }, (_, i) => start + ((end - start) * i) / Math.max(count - 1, 1));

/** Even times from 1 downwards, without 0: the last step goes to the clean sample itself. */
export const evenTimes = (numSteps) => Array.from({ length: numSteps }, (_, i) => 1 - i / numSteps);

/** `imagegen.EvenLogSNRSchedule(schedule)`: the same rates, visited at even log ratios. */
export function evenLogSNR(schedule) {
  return {
    ...schedule,
    samplingTimes: (numSteps) => {
      const times = schedule.samplingTimes(1000);
      const logs = times.map(schedule.rates).map(([noise, signal]) => Math.log(signal / noise));
      return linspace(logs[0], logs.at(-1), numSteps).map((log) => interpolate(log, logs, times));
    },
  };
}

/** The levels that sampling visits, the clean sample last: `imagegen.samplers.levels`. */
export function levels(schedule, numSteps) {
  const visited = schedule.samplingTimes(numSteps).map((time) => {
    const [noise, signal] = schedule.rates(time);
    return { time, noise, signal };
  });
  return [...visited, { time: 0, noise: 0, signal: 1 }];
}

/** The value of `ys` at `x`, between the two of the rising `xs` around it. */
export function interpolate(x, xs, ys) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  const share = Math.min(Math.max((x - xs[low]) / (xs[high] - xs[low]), 0), 1);
  return ys[low] + share * (ys[high] - ys[low]);
}
