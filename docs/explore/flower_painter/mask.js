// What the reader paints over: strokes of a broad brush, in the plane of `drawing.js`.

const HALF = 3.4; // Half the width of the plane.
export const RADIUS = 0.5; // Of the brush: five pixels of sixty-four.

/** Which pixels of a square the brush has touched: 1 or 0 each, in rows from above. */
export function maskOf(strokes, size) {
  const mask = new Uint8Array(size ** 2), unit = size / (2 * HALF), radius = RADIUS * unit;
  const pixel = ([x, y]) => [(x + HALF) * unit, (HALF - y) * unit];
  for (const stroke of strokes) {
    const places = stroke.map(pixel);
    places.forEach((to, i) => {
      const from = places[Math.max(i - 1, 0)];
      for (let at = 0; at < mask.length; at++) {
        const center = [(at % size) + 0.5, Math.floor(at / size) + 0.5];
        if (distance(center, from, to) <= radius) mask[at] = 1;
      }
    });
  }
  return mask;
}

/** How far a point is from a straight line between two others. */
function distance([x, y], [x1, y1], [x2, y2]) {
  const [dx, dy] = [x2 - x1, y2 - y1], square = dx * dx + dy * dy;
  const along = square ? ((x - x1) * dx + (y - y1) * dy) / square : 0;
  const share = Math.min(Math.max(along, 0), 1);
  return Math.hypot(x - x1 - share * dx, y - y1 - share * dy);
}

/** The canvas over the picture, on which the mask shows while it is drawn. */
export class MaskPicture {
  constructor(canvas) {
    this.canvas = canvas;
  }

  /** Where a pointer is, in the plane. */
  placeOf({ offsetX, offsetY }) {
    const unit = this.canvas.clientWidth / (2 * HALF);
    return [offsetX / unit - HALF, HALF - offsetY / unit];
  }

  draw({ strokes, pen }) {
    const { canvas } = this, pixels = Math.round(canvas.clientWidth * (devicePixelRatio || 1));
    canvas.width = canvas.height = pixels;
    const context = canvas.getContext("2d"), unit = pixels / (2 * HALF);
    const place = ([x, y]) => [(x + HALF) * unit, (HALF - y) * unit];
    Object.assign(context, { lineWidth: 2 * RADIUS * unit, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    for (const stroke of strokes) {
      context.moveTo(...place(stroke[0]));
      for (const each of stroke) context.lineTo(...place(each));
    }
    context.stroke();
    // One layer of colour, however often the brush has crossed a place.
    context.globalCompositeOperation = "source-in";
    context.fillStyle = "rgb(255 255 255 / 0.7)";
    context.fillRect(0, 0, pixels, pixels);
    context.globalCompositeOperation = "source-over";
    if (!pen) return;
    for (const [color, width] of [["black", 4], ["white", 2]]) {
      Object.assign(context, { strokeStyle: color, lineWidth: width * (pen.down ? 2 : 1) });
      context.beginPath();
      context.arc(...place(pen.place), RADIUS * unit, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
