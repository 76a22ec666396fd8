// What the network predicts, as in `imagegen.predictions`: the target of training, and the clean
// point that follows from an output. Each works on one coordinate: `n` is the noise rate and `s`
// the signal rate.

export const PREDICTIONS = {
  noise: {
    target: (clean, noise) => noise,
    denoised: (noisy, output, n, s) => (noisy - n * output) / s,
  },
  image: {
    target: (clean) => clean,
    denoised: (noisy, output) => output,
  },
  velocity: {
    target: (clean, noise, n, s) => s * noise - n * clean,
    denoised: (noisy, output, n, s) => (s * noisy - n * output) / (s * s + n * n),
  },
  flow: {
    target: (clean, noise) => noise - clean,
    denoised: (noisy, output, n, s) => (noisy - n * output) / (s + n),
  },
};
