// A small network on one picture, from weights that `docs/_machinery/exhibit_data.py` wrote.
//
// Every layer is a convolution, plain or transposed; a dense one has a picture of one pixel.

const ACTIVATIONS = {
  linear: (x) => x,
  relu: (x) => Math.max(x, 0),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  silu: (x) => x / (1 + Math.exp(-x)),
};

/** Loads a network: a function from its input to its output, both Float32Arrays. */
export async function loadNetwork(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  const bytes = answer.body.pipeThrough(new DecompressionStream("gzip"));
  return networkFrom(await new Response(bytes).arrayBuffer());
}

function networkFrom(buffer) {
  const bytes = new Uint8Array(buffer), end = bytes.indexOf(10);
  const descriptions = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  let start = end + 1;
  const read = (count, size) => join(bytes.subarray(start, (start += count * size)), count, size);
  const layers = descriptions.map((description) => {
    const { kernel, input, output } = description;
    const weights = halves(read(kernel ** 2 * input[2] * output[2], 2));
    return new Layer(description, weights, new Float32Array(read(output[2], 4)));
  });
  return (values) => layers.reduce((x, layer) => layer.apply(x), values);
}

/** Numbers of `size` bytes, of which all first bytes came first. */
function join(planes, count, size) {
  const joined = new Uint8Array(count * size);
  for (let i = 0; i < count; i++) {
    for (let byte = 0; byte < size; byte++) joined[i * size + byte] = planes[byte * count + i];
  }
  return joined.buffer;
}

/** Numbers in half precision, as single ones. */
function halves(buffer) {
  return Float32Array.from(new Uint16Array(buffer), (bits) => {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
    return bits >> 15 ? -size : size;
  });
}

class Layer {
  constructor({ kind, kernel, stride, input, output, activation }, weights, bias) {
    Object.assign(this, { kernel, input, output, weights, bias });
    this.activation = ACTIVATIONS[activation];
    this.rows = meetings(kind, kernel, stride, input[0], output[0]);
    this.columns = meetings(kind, kernel, stride, input[1], output[1]);
    this.result = new Float32Array(output[0] * output[1] * output[2]);
    this.sum = new Float32Array(output[2]);
    // The channels of each pixel that are not 0, and how many they are. ReLU leaves few.
    this.live = new Int32Array(input[0] * input[1] * input[2]);
    this.counts = new Int32Array(input[0] * input[1]);
  }

  apply(values) {
    const { input, output, kernel, sum, result, bias, activation } = this;
    this.findLive(values);
    for (let row = 0, at = 0; row < output[0]; row++) {
      for (let column = 0; column < output[1]; column++) {
        sum.set(bias);
        for (const [y, kernelRow] of this.rows[row]) {
          for (const [x, kernelColumn] of this.columns[column]) {
            this.add(values, y * input[1] + x, kernelRow * kernel + kernelColumn);
          }
        }
        for (let i = 0; i < output[2]; i++) result[at++] = activation(sum[i]);
      }
    }
    return result;
  }

  findLive(values) {
    const { live, counts } = this, channels = this.input[2];
    for (let pixel = 0; pixel < counts.length; pixel++) {
      const start = pixel * channels;
      let count = 0;
      for (let i = 0; i < channels; i++) if (values[start + i] !== 0) live[start + count++] = i;
      counts[pixel] = count;
    }
  }

  /** Adds one input pixel, seen through one place of the kernel, four channels at a time. */
  add(values, pixel, place) {
    const { sum, weights, live } = this;
    const size = sum.length, channels = this.input[2];
    const start = pixel * channels, end = start + this.counts[pixel], first = place * channels;
    let at = start;
    for (; at + 4 <= end; at += 4) {
      const a = live[at], b = live[at + 1], c = live[at + 2], d = live[at + 3];
      const va = values[start + a], vb = values[start + b];
      const vc = values[start + c], vd = values[start + d];
      const wa = (first + a) * size, wb = (first + b) * size;
      const wc = (first + c) * size, wd = (first + d) * size;
      for (let i = 0; i < size; i++) {
        sum[i] += va * weights[wa + i] + vb * weights[wb + i]
          + vc * weights[wc + i] + vd * weights[wd + i];
      }
    }
    for (; at < end; at++) {
      const value = values[start + live[at]], w = (first + live[at]) * size;
      for (let i = 0; i < size; i++) sum[i] += value * weights[w + i];
    }
  }
}

/** For each line of the output: which lines of the input meet it, through which of the kernel. */
function meetings(kind, kernel, stride, inputs, outputs) {
  const [fine, coarse] = kind === "conv" ? [inputs, outputs] : [outputs, inputs];
  const padding = Math.max((coarse - 1) * stride + kernel - fine, 0) >> 1;
  return Array.from({ length: outputs }, (_, line) => {
    const met = [];
    for (let k = 0; k < kernel; k++) {
      const other = kind === "conv" ? line * stride + k - padding : (line + padding - k) / stride;
      if (Number.isInteger(other) && other >= 0 && other < inputs) met.push([other, k]);
    }
    return met;
  });
}
