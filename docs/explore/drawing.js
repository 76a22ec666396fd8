// What the reader draws, by pointer or by keys, and what it becomes in the address.

const STEP = 0.1, GAP = 0.08, MOST = 400; // A key's step, and how far apart and how many places are.
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const HALF = 3.4, DIGITS = 36 ** 2 - 1;

/** Strokes as text: two digits of base 36 a coordinate, a full stop between strokes. */
export const encode = (strokes) => strokes.map((stroke) => stroke.flat().map((value) =>
  Math.round(((value + HALF) / (2 * HALF)) * DIGITS).toString(36).padStart(2, "0")).join("")).join(".");

/** Strokes out of text; what is no stroke is left out. */
export const decode = (text) => text.split(".").filter((part) => /^([0-9a-z]{4})+$/.test(part))
  .map((part) => part.match(/.{4}/g).slice(0, MOST).map((pair) => [pair.slice(0, 2), pair.slice(2)]
    .map((digits) => (parseInt(digits, 36) / DIGITS) * 2 * HALF - HALF)));

export class Drawing {
  /**
   * Draws on the canvas of a picture, which tells by `placeOf` where in the plane a pointer is. Calls
   * `onMove` when something is to be shown, and `onStroke` when the strokes have changed. `label` says
   * what the canvas shows while nothing can be drawn.
   */
  constructor(picture, strokes, { onMove, onStroke, label }) {
    Object.assign(this, { strokes, onMove, onStroke, label, enabled: false, pen: undefined });
    const { canvas } = picture;
    this.canvas = canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.enabled) return;
      canvas.setPointerCapture(event.pointerId);
      this.pen = undefined;
      this.#begin(picture.placeOf(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.stroke && !this.pen) this.#extend(picture.placeOf(event));
    });
    for (const end of ["pointerup", "pointercancel", "blur"]) {
      canvas.addEventListener(end, () => this.#finish());
    }
    canvas.addEventListener("keydown", (event) => this.enabled && this.#press(event));
  }

  /** Makes the canvas a place to draw on, or a picture. */
  enable(enabled) {
    const { canvas } = this;
    this.enabled = enabled;
    if (!enabled) this.pen = undefined;
    if (enabled) canvas.tabIndex = 0;
    else canvas.removeAttribute("tabindex");
    canvas.setAttribute("role", enabled ? "application" : "img");
    canvas.setAttribute("aria-label", enabled
      ? "A place to draw. Arrow keys move the pen, the space bar lowers and lifts it."
      : this.label);
  }

  undo() {
    this.strokes.pop();
    this.onStroke();
  }

  clear() {
    this.strokes.length = 0;
    this.onStroke();
  }

  #begin(place) {
    this.stroke = [place];
    this.strokes.push(this.stroke);
    this.onMove();
  }

  #extend(place) {
    const [x, y] = this.stroke.at(-1);
    const count = this.strokes.reduce((sum, { length }) => sum + length, 0);
    if (Math.hypot(place[0] - x, place[1] - y) < GAP || count >= MOST) return;
    this.stroke.push(place.map((value) => Math.min(Math.max(value, -HALF), HALF)));
    this.onMove();
  }

  #finish() {
    const { stroke, pen } = this;
    this.stroke = undefined;
    if (pen) pen.down = false;
    if (stroke) this.onStroke();
  }

  #press(event) {
    const step = ARROWS[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault(); // Or the page scrolls.
    this.pen ??= { place: [0, 0], down: false };
    if (!step && this.pen.down) return this.#finish();
    if (!step) {
      this.pen.down = true;
      return this.#begin(this.pen.place);
    }
    const move = (value, axis) => Math.min(Math.max(value + STEP * step[axis], -HALF), HALF);
    this.pen.place = this.pen.place.map(move);
    if (this.pen.down) this.#extend(this.pen.place);
    this.onMove();
  }
}
