// Curves over the time, in an SVG that stands on the page: its class gives them their colours.

const POINTS = 101;
const WIDTH = 300, HEIGHT = 150;

export class Plot {
  /** Draws into `svg`, values from `low` to `high`. */
  constructor(svg, low, high) {
    this.svg = svg;
    this.range(low, high);
  }

  range(low, high) {
    Object.assign(this, { low, high });
    const [top, bottom] = this.svg.querySelectorAll(".plot-end");
    top.textContent = String(high).replace("-", "−");
    bottom.textContent = String(low).replace("-", "−");
  }

  height(value) {
    return HEIGHT * (1 - (value - this.low) / (this.high - this.low));
  }

  /** The path of a function of the time. */
  path(curve) {
    const points = Array.from({ length: POINTS }, (_, i) => {
      const time = i / (POINTS - 1);
      // What leaves the plot is cut off by it; SVG has no infinity.
      const height = Math.min(Math.max(this.height(curve(time)), -HEIGHT), 2 * HEIGHT);
      return `${(WIDTH * time).toFixed(1)},${height.toFixed(1)}`;
    });
    return `M${points.join("L")}`;
  }

  draw(name, curve) {
    this.svg.querySelector(`.${name}`).setAttribute("d", this.path(curve));
  }

  /** Moves the line of the present, and the dots on the curves. */
  mark(time, values) {
    const x = WIDTH * time;
    const line = this.svg.querySelector(".plot-now");
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    for (const [name, value] of Object.entries(values)) {
      const dot = this.svg.querySelector(`circle.${name}`);
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", this.height(value));
    }
  }
}
