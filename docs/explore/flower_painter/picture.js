// A picture of the reader's own, as the model wants it.

/** The largest square in the middle of a picture file, made as small as the model's pictures. */
export async function pixelsOf(file, { width, height, channels }) {
  const bitmap = await createImageBitmap(file), side = Math.min(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  Object.assign(canvas, { width, height });
  Object.assign(context, { imageSmoothingQuality: "high", fillStyle: "white" });
  context.fillRect(0, 0, width, height); // Behind what is transparent.
  context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side,
    0, 0, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return Uint8Array.from({ length: width * height * channels }, (_, i) =>
    data[4 * Math.floor(i / channels) + (i % channels)]);
}
