// The places of a word's letters, read from its pixels.

const HEIGHT = 120, WIDEST = 2.6, HIGHEST = 1.6; // Pixels, and half the largest size in the plane.

export function wordPlaces(word) {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  const font = `bold ${HEIGHT}px sans-serif`;
  context.font = font;
  canvas.width = Math.ceil(context.measureText(word).width) + 20;
  canvas.height = 2 * HEIGHT;
  Object.assign(context, { font, textBaseline: "middle" });
  context.fillText(word, 10, HEIGHT);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height), inked = [];
  for (let row = 0; row < canvas.height; row++) {
    for (let column = 0; column < canvas.width; column++) {
      if (data[4 * (row * canvas.width + column) + 3] > 127) inked.push([column, -row]);
    }
  }
  const ends = [0, 1].map((axis) => {
    const values = inked.map((place) => place[axis]);
    return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)],
      [Infinity, -Infinity]);
  });
  const [[left, right], [bottom, top]] = ends;
  const scale = Math.min((2 * WIDEST) / (right - left || 1), (2 * HIGHEST) / (top - bottom || 1));
  return inked.map(([x, y]) => [scale * (x - (left + right) / 2), scale * (y - (top + bottom) / 2)]);
}
