// Error against evaluations, both on logarithmic axes.

const NAMES = { ddim: "DDIM", heun: "Heun", dpm: "DPM-Solver++(2M)" };
const [LEFT, RIGHT, TOP, BOTTOM] = [38, 312, 10, 168];
const COUNTS = [3, 5, 10, 20, 50, 100], POWERS = [1, 0.1, 0.01, 0.001];

const x = (count) => LEFT + ((RIGHT - LEFT) * Math.log(count / 3)) / Math.log(100 / 3);
const y = (error) => {
  const share = Math.log10(Math.max(error, 4e-4) / 4e-4) / Math.log10(3 / 4e-4);
  return BOTTOM - (BOTTOM - TOP) * Math.min(share, 1);
};

/** Writes lists of `[evaluations, error]`, by sampler, into an SVG. */
export function drawErrors(svg, errors) {
  const grid = POWERS.map((power) => `<path class="lab-rule" d="M${LEFT} ${y(power)}H${RIGHT}"/>`
    + `<text x="${LEFT - 4}" y="${y(power) + 3}" text-anchor="end">${power}</text>`);
  const counts = COUNTS.map((count) =>
    `<text x="${x(count)}" y="${BOTTOM + 13}" text-anchor="middle">${count}</text>`);
  const title = `<text x="${(LEFT + RIGHT) / 2}" y="${BOTTOM + 28}" text-anchor="middle">evaluations</text>`;
  const lines = Object.entries(errors).map(([name, row], i) => {
    const places = row.map(([count, error]) => `${x(count).toFixed(1)},${y(error).toFixed(1)}`);
    const dots = places.map((place) => {
      const [cx, cy] = place.split(",");
      return `<circle cx="${cx}" cy="${cy}" r="2.5"/>`;
    });
    return `<g class="lab-${name}"><polyline points="${places.join(" ")}"/>${dots.join("")}`
      + `<text x="${LEFT + 8}" y="${BOTTOM - 34 + 13 * i}">${NAMES[name]}</text></g>`;
  });
  svg.innerHTML = [...grid, ...counts, title, ...lines].join("");
  svg.setAttribute("aria-label", Object.entries(errors).map(([name, row]) => `${NAMES[name]}: `
    + row.map(([count, error]) => `${error.toPrecision(2)} at ${count}`).join(", ")).join(". "));
}
