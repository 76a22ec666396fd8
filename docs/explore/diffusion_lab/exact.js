// The exact answer. For data that are a list of points, the best denoiser has a formula: the mean of
// all points, each weighted by how likely it is that the noisy one was made of it.

/** Returns `denoise(noisy, level)` of the points, coordinates of which are `data`. */
export function exactDenoiser(data) {
  const weights = new Float64Array(data.length / 2);
  return (noisy, { noise, signal }) => {
    const clean = new Float64Array(noisy.length), scale = -1 / (2 * noise * noise);
    for (let i = 0; i < noisy.length; i += 2) {
      let largest = -Infinity;
      for (let j = 0; j < weights.length; j++) {
        const dx = noisy[i] - signal * data[2 * j], dy = noisy[i + 1] - signal * data[2 * j + 1];
        weights[j] = scale * (dx * dx + dy * dy);
        if (weights[j] > largest) largest = weights[j];
      }
      let sum = 0, x = 0, y = 0;
      for (let j = 0; j < weights.length; j++) {
        const log = weights[j] - largest;
        if (log < -40) continue;  // Less than one part in 10^17.
        const weight = Math.exp(log);
        sum += weight;
        x += weight * data[2 * j];
        y += weight * data[2 * j + 1];
      }
      clean[i] = x / sum;
      clean[i + 1] = y / sum;
    }
    return clean;
  };
}
