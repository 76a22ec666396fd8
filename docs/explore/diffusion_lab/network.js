// The network of the chapter "Diffusion from the equations", `imagegen.point_mlp`, its gradient, and
// Adam. Points come in groups, each at one noise rate: what depends on the rate is computed once a
// group, and sampling is one group.

// float64: a JavaScript engine computes in it, and converting costs more than the memory does.
const Numbers = Float64Array;

// y = x W + b for `rows` rows. Two rows and four inputs at a time: what is loaded serves eight products.
function dense(x, rows, weights, { kernel, bias, size: [inputs, outputs] }, y) {
  const pairs = rows - (rows % 2), fours = inputs - (inputs % 4);
  for (let row = 0; row < rows; row++) {
    y.set(weights.subarray(bias, bias + outputs), row * outputs);
  }
  for (let row = 0; row < pairs; row += 2) {
    const at = row * outputs;
    for (let i = 0; i < fours; i += 4) {
      const one = row * inputs + i, two = one + inputs;
      const a1 = x[one], b1 = x[one + 1], c1 = x[one + 2], d1 = x[one + 3];
      const a2 = x[two], b2 = x[two + 1], c2 = x[two + 2], d2 = x[two + 3];
      for (let j = at, w = kernel + i * outputs; j < at + outputs; j++, w++) {
        const a = weights[w], b = weights[w + outputs];
        const c = weights[w + 2 * outputs], d = weights[w + 3 * outputs];
        y[j] += a1 * a + b1 * b + c1 * c + d1 * d;
        y[j + outputs] += a2 * a + b2 * b + c2 * c + d2 * d;
      }
    }
  }
  // What is left over: the last inputs of the pairs, and a last row.
  for (let row = 0; row < rows; row++) {
    for (let i = row < pairs ? fours : 0; i < inputs; i++) {
      const a = x[row * inputs + i], at = row * outputs, from = kernel + i * outputs;
      for (let j = 0; j < outputs; j++) y[at + j] += a * weights[from + j];
    }
  }
}

// The gradient of `dense`: adds to that of its weights, and, where asked, to that of its inputs
// (hidden channels, whose number is a multiple of 4).
function denseBack(x, rows, weights, { kernel, bias, size: [inputs, outputs] }, dy, gradient, dx) {
  for (let row = 0, i = 0; row < rows; row++) {
    for (let j = 0; j < outputs; j++, i++) gradient[bias + j] += dy[i];
  }
  const fours = rows - (rows % 4), pairs = inputs - (inputs % 2);
  for (let row = 0; row < fours; row += 4) {
    const at = row * outputs;
    for (let i = 0; i < pairs; i += 2) {
      const one = row * inputs + i, two = one + inputs, three = two + inputs, four = three + inputs;
      const a1 = x[one], b1 = x[two], c1 = x[three], d1 = x[four];
      const a2 = x[one + 1], b2 = x[two + 1], c2 = x[three + 1], d2 = x[four + 1];
      for (let j = at, w = kernel + i * outputs; j < at + outputs; j++, w++) {
        const a = dy[j], b = dy[j + outputs], c = dy[j + 2 * outputs], d = dy[j + 3 * outputs];
        gradient[w] += a1 * a + b1 * b + c1 * c + d1 * d;
        gradient[w + outputs] += a2 * a + b2 * b + c2 * c + d2 * d;
      }
    }
  }
  for (let row = 0; row < rows; row++) {
    for (let i = row < fours ? pairs : 0; i < inputs; i++) {
      const a = x[row * inputs + i], at = row * outputs, from = kernel + i * outputs;
      for (let j = 0; j < outputs; j++) gradient[from + j] += a * dy[at + j];
    }
  }
  if (!dx) return;
  for (let row = 0; row < rows; row++) {
    const at = row * outputs;
    let i = 0;
    for (; i + 3 < inputs; i += 4) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let j = at, w = kernel + i * outputs; j < at + outputs; j++, w++) {
        a += dy[j] * weights[w];
        b += dy[j] * weights[w + outputs];
        c += dy[j] * weights[w + 2 * outputs];
        d += dy[j] * weights[w + 3 * outputs];
      }
      const to = row * inputs + i;
      dx[to] += a;
      dx[to + 1] += b;
      dx[to + 2] += c;
      dx[to + 3] += d;
    }
  }
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** `imagegen.SinusoidalEmbedding(dim, max_frequency=maxFrequency)` of noise rates. */
export function sinusoidal(rates, dim, maxFrequency) {
  const half = dim / 2, out = new Numbers(rates.length * dim);
  rates.forEach((rate, row) => {
    for (let k = 0; k < half; k++) {
      const angle = 2 * Math.PI * rate * maxFrequency ** (half > 1 ? k / (half - 1) : 0);
      out[row * dim + k] = Math.sin(angle);
      out[row * dim + half + k] = Math.cos(angle);
    }
  });
  return out;
}

/** A network from noisy points and their noise rates to predictions, as `imagegen.point_mlp`. */
export class PointMLP {
  constructor({ width = 48, depth = 3, embedding = 32, maxFrequency = 30 } = {}) {
    Object.assign(this, { width, depth, embedding, maxFrequency, layers: [], size: 0 });
    // In the order of Keras's `get_weights`.
    this.embed = this.#layer(embedding, width);
    this.hidden = [];
    for (let i = 0; i < depth; i++) {
      const scale = this.#layer(width, width), mix = this.#layer(i ? width : 2, width);
      this.hidden.push({ scale, mix, shift: this.#layer(width, width) });
    }
    this.head = this.#layer(width, 2);
    this.weights = new Numbers(this.size);
    this.gradient = new Numbers(this.size);
  }

  #layer(inputs, outputs) {
    const kernel = this.size, bias = kernel + inputs * outputs;
    this.size = bias + outputs;
    this.layers.push({ kernel, bias, size: [inputs, outputs] });
    return this.layers.at(-1);
  }

  /** Draws weights as Keras does: Glorot's uniform kernels, no biases, and a head of zeros. */
  initialize(uniform) {
    this.weights.fill(0);
    for (const { kernel, bias, size: [inputs, outputs] } of this.layers.slice(0, -1)) {
      const limit = Math.sqrt(6 / (inputs + outputs));
      for (let i = kernel; i < bias; i++) this.weights[i] = limit * (2 * uniform() - 1);
    }
  }

  /** Predicts for points `(groups * each, 2)`, of which every group has one of the `rates`. */
  forward(points, rates, weights = this.weights) {
    const { width } = this, groups = rates.length, rows = points.length / 2, each = rows / groups;
    const memory = this.#memory(groups, rows);
    memory.rates = sinusoidal(rates, this.embedding, this.maxFrequency);
    dense(memory.rates, groups, weights, this.embed, memory.embed);
    for (let i = 0; i < groups * width; i++) {
      memory.embedded[i] = memory.embed[i] * sigmoid(memory.embed[i]);
    }
    let x = memory.points = points;
    this.hidden.forEach(({ mix, scale, shift }, layer) => {
      const { mixed, scales, shifts, before, gate, after } = memory.hidden[layer];
      dense(x, rows, weights, mix, mixed);
      dense(memory.embedded, groups, weights, scale, scales);
      dense(memory.embedded, groups, weights, shift, shifts);
      for (let row = 0, i = 0; row < rows; row++) {
        const group = Math.floor(row / each) * width;
        for (let j = group; j < group + width; j++, i++) {
          before[i] = mixed[i] * (1 + scales[j]) + shifts[j];
          gate[i] = sigmoid(before[i]);
          after[i] = before[i] * gate[i];
        }
      }
      x = after;
    });
    dense(x, rows, weights, this.head, memory.output);
    return memory.output.subarray(0, 2 * rows);
  }

  /** Computes the gradient of the weights from that of the last predictions. */
  backward(dOutput) {
    const { width, weights, gradient } = this;
    const { groups, rows, ...memory } = this.last;
    const each = rows / groups;
    gradient.fill(0);
    let dx = memory.dAfter.fill(0);
    denseBack(memory.hidden.at(-1).after, rows, weights, this.head, dOutput, gradient, dx);
    const dEmbedded = memory.dEmbedded.fill(0);
    for (let layer = this.depth - 1; layer >= 0; layer--) {
      const { mix, scale, shift } = this.hidden[layer];
      const { mixed, scales, before, gate } = memory.hidden[layer];
      const dScales = memory.dScales.fill(0), dShifts = memory.dShifts.fill(0);
      for (let row = 0, i = 0; row < rows; row++) {
        const group = Math.floor(row / each) * width;
        for (let j = group; j < group + width; j++, i++) {
          const d = dx[i] * gate[i] * (1 + before[i] * (1 - gate[i]));
          dScales[j] += d * mixed[i];
          dShifts[j] += d;
          dx[i] = d * (1 + scales[j]);
        }
      }
      denseBack(memory.embedded, groups, weights, scale, dScales, gradient, dEmbedded);
      denseBack(memory.embedded, groups, weights, shift, dShifts, gradient, dEmbedded);
      const inputs = layer ? memory.hidden[layer - 1].after : memory.points;
      const dInputs = layer ? memory.dBefore.fill(0) : null;
      denseBack(inputs, rows, weights, mix, dx, gradient, dInputs);
      [memory.dBefore, dx] = [dx, dInputs];
    }
    for (let i = 0; i < groups * width; i++) {
      const gate = sigmoid(memory.embed[i]);
      dEmbedded[i] *= gate * (1 + memory.embed[i] * (1 - gate));
    }
    denseBack(memory.rates, groups, weights, this.embed, dEmbedded, gradient, null);
    return gradient;
  }

  // Buffers are kept while batches have one size.
  #memory(groups, rows) {
    if (this.last?.groups === groups && this.last.rows === rows) return this.last;
    const wide = (count) => new Numbers(count * this.width);
    this.last = {
      groups, rows, output: new Numbers(2 * rows), embed: wide(groups), embedded: wide(groups),
      hidden: this.hidden.map(() => ({
        mixed: wide(rows), before: wide(rows), gate: wide(rows), after: wide(rows),
        scales: wide(groups), shifts: wide(groups),
      })),
      dAfter: wide(rows), dBefore: wide(rows),
      dEmbedded: wide(groups), dScales: wide(groups), dShifts: wide(groups),
    };
    return this.last;
  }
}

/** Adam, with gradients shortened to a length of `clip`, as of Keras with `global_clipnorm`. */
export class Adam {
  constructor(size, { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, clip = 1 } = {}) {
    Object.assign(this, { beta1, beta2, epsilon, clip, steps: 0 });
    this.mean = new Numbers(size);
    this.square = new Numbers(size);
  }

  step(weights, gradient, rate) {
    const { beta1, beta2, epsilon, mean, square } = this;
    this.steps += 1;
    let length = 0;
    for (const value of gradient) length += value * value;
    const shorten = Math.min(1, this.clip / Math.sqrt(length || 1));
    const scale = (rate * Math.sqrt(1 - beta2 ** this.steps)) / (1 - beta1 ** this.steps);
    for (let i = 0; i < weights.length; i++) {
      const value = gradient[i] * shorten;
      mean[i] += (1 - beta1) * (value - mean[i]);
      square[i] += (1 - beta2) * (value * value - square[i]);
      weights[i] -= (scale * mean[i]) / (Math.sqrt(square[i]) + epsilon);
    }
  }
}
