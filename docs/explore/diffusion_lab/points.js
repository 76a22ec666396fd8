// Points in the plane to learn: shapes by formula, a word, or what the reader has drawn.

import { normals, uniformOf } from "../random.js";

const SPREAD = 0.07;

// Each takes a random number from [0, 1) or two and returns a place on the shape, about 1.5 wide.
const SHAPES = {
  // scikit-learn's S, as `imagegen.datasets.s_curve` has it.
  "s-curve": (u) => {
    const t = 3 * Math.PI * (u - 0.5);
    return [Math.sin(t), Math.sign(t) * (Math.cos(t) - 1)];
  },
  spiral: (u) => {
    const turn = Math.sqrt(0.03 + 0.97 * u), angle = 4.5 * Math.PI * turn;
    return [1.9 * turn * Math.cos(angle), 1.9 * turn * Math.sin(angle)];
  },
  moons: (u, v) => {
    const angle = Math.PI * u, upper = v < 0.5;
    return upper ? [1.3 * Math.cos(angle) - 0.65, 1.3 * Math.sin(angle) - 0.3]
      : [0.65 - 1.3 * Math.cos(angle), 0.3 - 1.3 * Math.sin(angle)];
  },
  spots: (u, v) => [v < 0.5 ? -1.2 : 1.2, 0],
};

export const isShape = (name) => name in SHAPES;

/** Draws `count` points near a shape; the places of a word or a drawing are given as `places`. */
export function drawPoints(name, count, seed, places = []) {
  const uniform = uniformOf(seed), spread = normals(uniform, 2 * count);
  const shape = SHAPES[name] ?? ((u) => places[Math.floor(u * places.length)] ?? [0, 0]);
  const width = name === "spots" ? 0.15 : SHAPES[name] ? SPREAD : SPREAD / 2;
  const points = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) {
    const [x, y] = shape(uniform(), uniform());
    points[2 * i] = x + width * spread[2 * i];
    points[2 * i + 1] = y + width * spread[2 * i + 1];
  }
  return points;
}

/** Shift and scale of each coordinate to mean 0 and variance 1, and the way back. */
export function normalizer(points) {
  const mean = [0, 0], deviation = [0, 0], count = points.length / 2;
  points.forEach((value, i) => { mean[i % 2] += value / count; });
  points.forEach((value, i) => { deviation[i % 2] += (value - mean[i % 2]) ** 2 / count; });
  // A drawing may be a straight line.
  for (const i of [0, 1]) deviation[i] = Math.max(Math.sqrt(deviation[i]), 0.05);
  return {
    mean,
    deviation,
    normalize: (values) => values.map((value, i) => (value - mean[i % 2]) / deviation[i % 2]),
    restore: (values) => values.map((value, i) => mean[i % 2] + value * deviation[i % 2]),
  };
}

/** Places spread evenly along strokes, lists of `[x, y]`. */
export function alongStrokes(strokes, gap = 0.02) {
  const places = [];
  for (const stroke of strokes) {
    places.push(stroke[0]);
    for (let i = 1; i < stroke.length; i++) {
      const [[x, y], [toX, toY]] = [stroke[i - 1], stroke[i]];
      const parts = Math.ceil(Math.hypot(toX - x, toY - y) / gap);
      for (let k = 1; k <= parts; k++) {
        places.push([x + ((toX - x) * k) / parts, y + ((toY - y) * k) / parts]);
      }
    }
  }
  return places;
}
