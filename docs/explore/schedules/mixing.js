// The flower, and noise over it.

import { normals, uniformOf } from "../random.js";

export class Flower {
  /** A picture of `size` x `size` pixels, RGBA, and the `mean` and `deviation` of each colour. */
  constructor(pixels, size, { mean, deviation }) {
    Object.assign(this, { size, mean, deviation });
    // Normalized, three numbers a pixel.
    this.image = new Float32Array(size * size * 3);
    for (let i = 0; i < this.image.length; i++) {
      const color = i % 3;
      this.image[i] = (pixels[4 * ((i / 3) | 0) + color] - mean[color]) / deviation[color];
    }
    this.drawNoise(0);
  }

  drawNoise(seed) {
    this.noise = normals(uniformOf(seed), this.image.length);
  }

  /** The mixture as a picture. Where it `isEven`, it is divided by its deviation first. */
  mixed([noiseRate, signalRate], isEven) {
    const scale = isEven ? 1 / Math.hypot(noiseRate, signalRate) : 1;
    const { image, noise, mean, deviation, size } = this;
    const pixels = new Uint8ClampedArray(size * size * 4).fill(255);
    for (let i = 0; i < image.length; i++) {
      const color = i % 3, value = scale * (signalRate * image[i] + noiseRate * noise[i]);
      pixels[4 * ((i / 3) | 0) + color] = mean[color] + deviation[color] * value;
    }
    return new ImageData(pixels, size, size);
  }
}

/** Loads the flower and what normalizes it. */
export async function loadFlower(folder) {
  const picture = new Image();
  picture.src = new URL("flower.png", folder);
  const [statistics] = await Promise.all([
    fetch(new URL("flower.json", folder)).then((answer) => answer.json()),
    picture.decode(),
  ]);
  const size = picture.naturalWidth;
  const context = new OffscreenCanvas(size, size).getContext("2d");
  context.drawImage(picture, 0, 0);
  return new Flower(context.getImageData(0, 0, size, size).data, size, statistics);
}
