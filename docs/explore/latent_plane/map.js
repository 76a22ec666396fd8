// The plane under the point: a canvas over the still map, which has the digits.

export class PlaneMap {
  /** Draws on `canvas`. The plane reaches from `-limit` to `limit`; it has the `digits` on it. */
  constructor(canvas, { limit, digits }, onResize) {
    Object.assign(this, { canvas, limit, digits, context: canvas.getContext("2d") });
    new ResizeObserver(() => this.fit() && onResize()).observe(canvas);
    this.fit();
  }

  /** Gives the canvas as many pixels as the screen has there. Returns whether that was news. */
  fit() {
    const size = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (!size || size === this.canvas.width) return false;
    this.canvas.width = this.canvas.height = size;
    return true;
  }

  /** The nearest point that is on the map. */
  inside(point) {
    return point.map((place) => Math.min(Math.max(place, -this.limit), this.limit));
  }

  /** The point of the plane under a pointer. */
  pointAt({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const shares = [(2 * (clientX - left)) / width - 1, 1 - (2 * (clientY - top)) / height];
    return this.inside(shares.map((share) => share * this.limit));
  }

  draw(point, from, to) {
    const { context, canvas } = this, unit = devicePixelRatio, half = canvas.width / 2;
    const place = ([x, y]) => [half * (1 + x / this.limit), half * (1 - y / this.limit)];
    context.clearRect(0, 0, canvas.width, canvas.height);
    // Dark in light, so that they are seen on paper of either kind.
    for (const [color, width] of [["#fff", 5], ["#111", 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width * unit;
      context.beginPath();
      context.moveTo(...place(from));
      context.lineTo(...place(to));
      context.stroke();
      for (const [center, radius] of [[from, 4], [to, 4], [point, 11], [point, 1]]) {
        context.beginPath();
        context.arc(...place(center), radius * unit, 0, 2 * Math.PI);
        context.stroke();
      }
    }
  }

  /** How often each class is among the digits nearest to a point, the most frequent first. */
  around(point, count) {
    const distance = (digit) => Math.hypot(digit.point[0] - point[0], digit.point[1] - point[1]);
    const sorted = [...this.digits].sort((one, other) => distance(one) - distance(other));
    const counts = new Map();
    for (const { label } of sorted.slice(0, count)) counts.set(label, (counts.get(label) ?? 0) + 1);
    return [...counts].sort((one, other) => other[1] - one[1]);
  }
}
