// How far two clouds of points are apart: `imagegen.sliced_wasserstein_distance`, with even
// directions in place of random ones, for clouds of equal size.

const DIRECTIONS = 64;

function shadow(points, angle) {
  const x = Math.cos(angle), y = Math.sin(angle);
  return Float64Array.from({ length: points.length / 2 }, (_, i) =>
    x * points[2 * i] + y * points[2 * i + 1]).sort();
}

export function slicedWasserstein(points, others) {
  let sum = 0, count = 0;
  for (let k = 0; k < DIRECTIONS; k++) {
    const angle = (Math.PI * k) / DIRECTIONS;
    const one = shadow(points, angle), two = shadow(others, angle);
    one.forEach((value, i) => { sum += (value - two[i]) ** 2; count += 1; });
  }
  return Math.sqrt(sum / count);
}
