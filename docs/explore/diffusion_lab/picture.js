// One pane: data, paths, arrows, samples and guesses on a canvas.

const HALF = 3.4; // Half the width of the plane that is seen.
const PATHS = 60, MORPH = 250; // Paths that are drawn, and milliseconds from one walk to the next.

/** Places of arrows, evenly over the plane, as `[x, y, x, y, ...]`. */
export const GRID = Float64Array.from({ length: 2 * 21 * 21 }, (_, i) =>
  0.3 * ((i % 2 ? Math.floor(i / 42) : (i >> 1) % 21) - 10));

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  /** Takes a walk, in the plane's own units. What is shown glides there, unless motion is unwanted. */
  setWalk(walk, now, glides) {
    this.before = glides ? this.shown : undefined;
    Object.assign(this, { walk, since: now });
  }

  get size() {
    return this.canvas.clientWidth;
  }

  /** Where a pointer is, in the plane. */
  placeOf({ offsetX, offsetY }) {
    const unit = this.size / (2 * HALF);
    return [offsetX / unit - HALF, HALF - offsetY / unit];
  }

  /** Draws, and returns whether it is still gliding. */
  draw(now, { at, data, arrows, strokes, pen, paths, guesses, colors }) {
    const { context, size } = this, density = devicePixelRatio || 1;
    const pixels = Math.round(size * density);
    if (this.canvas.width !== pixels) this.canvas.width = this.canvas.height = pixels;
    const unit = size / (2 * HALF);
    context.setTransform(density * unit, 0, 0, -density * unit, pixels / 2, pixels / 2);
    context.clearRect(-HALF, -HALF, 2 * HALF, 2 * HALF);
    this.pixel = 1 / unit;
    const dot = Math.max(size / 330, 1.1);
    if (data) this.#dots(data, 0.75 * dot, colors.data);
    if (strokes) this.#strokes(strokes, pen, colors);
    if (!this.walk) return false;
    // A frame bears the time at which it began, which may be before the walk came.
    const { walk } = this, share = Math.min(Math.max(now - this.since, 0) / MORPH, 1);
    if (paths) this.#paths(walk.points, at, colors.samples);
    if (arrows) this.#arrows(arrows, colors.arrows);
    if (guesses) this.#dots(between(walk.guesses, at), 0.8 * dot, colors.guesses);
    const wanted = between(walk.points, at), { before } = this;
    const gliding = before?.length === wanted.length && share < 1;
    const ease = share * share * (3 - 2 * share);
    this.shown = gliding ? wanted.map((to, i) => before[i] + ease * (to - before[i])) : wanted;
    this.#dots(this.shown, dot, colors.samples);
    return gliding;
  }

  #dots(points, radius, color) {
    const { context } = this, r = radius * this.pixel;
    context.fillStyle = color;
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) {
      context.moveTo(points[i] + r, points[i + 1]);
      context.arc(points[i], points[i + 1], r, 0, 2 * Math.PI);
    }
    context.fill();
  }

  #paths(frames, at, color) {
    const { context } = this, here = at * (frames.length - 1), end = between(frames, at);
    Object.assign(context, { strokeStyle: color, lineWidth: this.pixel, globalAlpha: 0.5 });
    context.beginPath();
    for (let i = 0; i < 2 * PATHS; i += 2) {
      context.moveTo(frames[0][i], frames[0][i + 1]);
      for (let k = 1; k <= here; k++) context.lineTo(frames[k][i], frames[k][i + 1]);
      context.lineTo(end[i], end[i + 1]);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  #arrows(vectors, color) {
    const { context } = this;
    const lengths = Float64Array.from({ length: vectors.length / 2 }, (_, i) =>
      Math.hypot(vectors[2 * i], vectors[2 * i + 1])).sort();
    // Nine in ten are as long as they are, the others as long as a cell allows.
    const longest = lengths[Math.floor(0.9 * lengths.length)] || 1;
    Object.assign(context, { strokeStyle: color, lineWidth: 1.2 * this.pixel });
    context.beginPath();
    for (let i = 0; i < vectors.length; i += 2) {
      const length = Math.hypot(vectors[i], vectors[i + 1]);
      const scale = 0.27 / Math.max(longest, length);
      const [dx, dy] = [scale * vectors[i], scale * vectors[i + 1]];
      const [x, y] = [GRID[i] + dx, GRID[i + 1] + dy];
      context.moveTo(GRID[i], GRID[i + 1]);
      context.lineTo(x, y);
      for (const side of [0.35, -0.35]) {
        context.moveTo(x, y);
        context.lineTo(x - 0.35 * dx + side * dy * 0.7, y - 0.35 * dy - side * dx * 0.7);
      }
    }
    context.stroke();
  }

  #strokes(strokes, pen, colors) {
    const { context, pixel } = this;
    Object.assign(context, {
      strokeStyle: colors.data, lineWidth: 3 * pixel, lineCap: "round", lineJoin: "round",
    });
    context.beginPath();
    for (const stroke of strokes) {
      context.moveTo(...stroke[0]);
      for (const place of stroke) context.lineTo(...place);
    }
    context.stroke();
    if (!pen) return;
    context.strokeStyle = pen.down ? colors.guesses : colors.samples;
    context.beginPath();
    context.arc(...pen.place, 6 * pixel, 0, 2 * Math.PI);
    context.stroke();
  }
}

/** The frame at the share `at` of the way, on a straight line between the two around it. */
function between(frames, at) {
  const here = at * (frames.length - 1), low = Math.floor(here), share = here - low;
  const from = frames[low], to = frames[Math.min(low + 1, frames.length - 1)];
  return share ? from.map((value, i) => value + share * (to[i] - value)) : from;
}
