// A pad to draw on, by pointer or by keys, and the drawing as a digit of MNIST.

const SIZE = 280, PEN = 24, STEP = 10;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  /** Calls `onTouch` when the reader comes near, and `onDraw` after each stroke of the pen. */
  constructor(canvas, onTouch, onDraw) {
    this.canvas = canvas;
    this.ink = document.createElement("canvas");
    this.ink.width = this.ink.height = SIZE;
    this.onDraw = onDraw;
    this.pen = [SIZE / 2, SIZE / 2];
    this.isDown = this.hasKeys = false;
    const at = ({ offsetX, offsetY }) =>
      [offsetX, offsetY].map((place) => (place * SIZE) / canvas.clientWidth);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.isDown = this.hasKeys = false;
      this.line(at(event), at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) this.line(this.pen, at(event));
    });
    canvas.addEventListener("keydown", (event) => this.press(event));
    canvas.addEventListener("blur", () => {
      this.isDown = this.hasKeys = false;
      this.show();
    });
    for (const touch of ["pointerenter", "focus"]) canvas.addEventListener(touch, onTouch);
    this.clear();
  }

  press(event) {
    const step = ARROWS[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault(); // Or the page scrolls.
    this.hasKeys = true;
    if (!step) this.isDown = !this.isDown;
    const move = (place, axis) => Math.min(Math.max(place + STEP * (step?.[axis] ?? 0), 0), SIZE);
    const next = this.pen.map(move);
    if (this.isDown) this.line(this.pen, next);
    this.pen = next;
    this.show();
  }

  line(from, to) {
    const context = this.ink.getContext("2d");
    Object.assign(context, { strokeStyle: "white", lineWidth: PEN, lineCap: "round" });
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    this.pen = to;
    this.isEmpty = false;
    this.show();
    this.onDraw();
  }

  clear() {
    this.ink.getContext("2d").clearRect(0, 0, SIZE, SIZE);
    this.pen = [SIZE / 2, SIZE / 2];
    this.isDown = false;
    this.isEmpty = true;
    this.show();
  }

  show() {
    const context = this.canvas.getContext("2d");
    context.fillStyle = "black";
    context.fillRect(0, 0, SIZE, SIZE);
    context.drawImage(this.ink, 0, 0);
    if (this.isEmpty) {
      Object.assign(context, { fillStyle: "#bbb", font: "24px sans-serif", textAlign: "center" });
      context.fillText("Draw a digit", SIZE / 2, SIZE / 2);
    }
    if (!this.hasKeys) return;
    context.strokeStyle = this.isDown ? "#ff5252" : "#8ab4ff";
    context.lineWidth = 4;
    context.beginPath();
    context.arc(...this.pen, PEN / 2, 0, 2 * Math.PI);
    context.stroke();
  }

  /** The drawing as a digit of MNIST, or null where there is none. */
  picture() {
    const { data } = this.ink.getContext("2d").getImageData(0, 0, SIZE, SIZE);
    return asDigit(Float32Array.from({ length: SIZE ** 2 }, (_, i) => data[4 * i + 3] / 255), SIZE);
  }
}

/**
 * A square of ink from 0 to 1 as MNIST has its digits: the longer side 20 pixels, and the centre of
 * mass in the middle of 28 x 28. Null without ink.
 */
export function asDigit(ink, size) {
  let mass = 0, left = size, right = 0, top = size, bottom = 0;
  const center = [0, 0];
  const each = (visit) => ink.forEach((value, i) => value && visit(value, i % size, (i / size) | 0));
  each((value, x, y) => {
    mass += value;
    center[0] += value * (x + 0.5);
    center[1] += value * (y + 0.5);
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
  });
  if (!mass) return null;
  // Small drawings are not blown up to more than a pixel of ours for four of theirs.
  const scale = Math.min(20 / Math.max(right - left, bottom - top), 70 / size);
  const digit = new Float32Array(28 * 28);
  each((value, x, y) => {
    const [column, row] = [x + 0.5 - center[0] / mass, y + 0.5 - center[1] / mass]
      .map((offset) => Math.floor(14 + scale * offset));
    if (Math.min(column, row) >= 0 && Math.max(column, row) < 28) {
      digit[28 * row + column] += value * scale ** 2;
    }
  });
  return digit.map((value) => Math.min(value, 1));
}
