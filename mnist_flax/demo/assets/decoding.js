
// Reads a picture file in grey, by the steps of mnist_flax/predict/decoding.py. The browser
// decodes it: what it can show can be read.

// Limits of bytes and pixels, and of a canvas' side in browsers.
const MOST_BYTES = 2 ** 26;
const MOST_PIXELS = 64_000_000;
const LONGEST_SIDE = 16_384;
// Larger pictures are reduced to this, in pixels, before the digit is searched.
const REDUCED_SIDE = 512;

/** What keeps a picture from being read, in a sentence for the person who gave it. */
class PictureError extends Error {}

/**
 * Reads a picture file.
 *
 * @returns gray, Float32Array of 0 (black) to 255, `height`, `width`; `margin`, the pixels that were
 *   added on each side; `shown`, a canvas with the picture, reduced as much and without the margin.
 */
async function decode(file) {
  if (file.size > MOST_BYTES) throw new PictureError("This file is too large. Make it smaller.");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new PictureError(
      "This browser cannot read the file as a picture. Save it as PNG or JPEG.",
    );
  }
  try {
    const { height, width } = bitmap;
    if (height * width > MOST_PIXELS || Math.max(height, width) > LONGEST_SIDE) {
      throw new PictureError("This picture has too many pixels. Make it smaller.");
    }
    checkCanvas();
    const factor = Math.ceil(Math.max(height, width) / REDUCED_SIDE);
    const parts = reduced(bitmap, factor);
    const shown = canvasOf(parts.height, parts.width);
    const context = shown.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, width / factor, height / factor);
    return { ...withoutTransparency(parts), shown };
  } finally {
    bitmap.close();
  }
}

function canvasOf(height, width) {
  const canvas = document.createElement("canvas");
  [canvas.height, canvas.width] = [height, width];
  return canvas;
}

/** Throws a PictureError if the browser hides from pages what is on a canvas. */
function checkCanvas() {
  const context = canvasOf(8, 8).getContext("2d");
  context.fillStyle = "rgb(10 120 240)";
  context.fillRect(0, 0, 8, 8);
  const { data } = context.getImageData(0, 0, 8, 8);
  if (data.some((value, i) => value !== [10, 120, 240, 255][i % 4])) {
    throw new PictureError("This browser keeps pages from reading pictures. Use another one.");
  }
}

/** Converts a picture to grey and opacity, `factor` times smaller, as Pillow does. */
function reduced(bitmap, factor) {
  const [height, width] = [bitmap.height, bitmap.width].map((side) => Math.ceil(side / factor));
  const shade = new Float32Array(height * width);
  const alpha = new Float32Array(height * width);
  // In stripes: all of a photo at once would take too much memory for a phone.
  const rows = factor * Math.max(1, Math.floor(2 ** 21 / (bitmap.width * factor)));
  const context = canvasOf(rows, bitmap.width).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < bitmap.height; top += rows) {
    context.clearRect(0, 0, bitmap.width, rows);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, bitmap.width, rows);
    const end = Math.min(rows, bitmap.height - top);
    for (let y = 0; y < end; y++) {
      const row = Math.floor((top + y) / factor) * width;
      addRow(data, y * bitmap.width, bitmap.width, factor, shade, alpha, row);
    }
  }
  for (let i = 0; i < shade.length; i++) {
    const down = Math.min(factor, bitmap.height - Math.floor(i / width) * factor);
    const count = down * Math.min(factor, bitmap.width - (i % width) * factor);
    alpha[i] = Math.floor(alpha[i] / count + 0.5) / 255;
    shade[i] = Math.floor(shade[i] / count + 0.5) / Math.max(alpha[i], 1 / 255);
  }
  return { height, width, shade, alpha };
}

/**
 * Adds the grey levels and opacities of `count` pixels from `start` on to the items of `shade` and
 * `alpha` from `row` on, `factor` of them to each. (A function of its own and plain numbers: it runs
 * over millions of pixels.)
 */
function addRow(data, start, count, factor, shade, alpha, row) {
  for (let x = 0; x < count; x++) {
    const at = 4 * (start + x);
    const luma = (data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471 + 0x8000) >> 16;
    const i = row + Math.floor(x / factor);
    // Premultiplied: the colour of transparent pixels must not count.
    shade[i] += Math.round((luma * data[at + 3]) / 255);
    alpha[i] += data[at + 3];
  }
}

/** Makes a picture with transparency opaque. */
function withoutTransparency({ height, width, shade, alpha }) {
  const plain = { height, width, margin: 0, gray: shade };
  if (alpha.every((value) => value > 0.99)) return plain;
  const opaque = alpha.map((value) => (value > 0.5 ? 1 : 0));
  const box = boxOf({ width, data: opaque });
  if (!box.bottom) return { ...plain, gray: shade.fill(0) };
  const seen = shade.filter((_, i) => opaque[i]).sort();
  const area = (box.bottom - box.top) * (box.right - box.left);
  const contrast = percentileOf(seen, 99) - percentileOf(seen, 1);
  if (seen.length >= 0.6 * area && contrast >= 60) {
    // An opaque sheet with a digit on it: extend the sheet over what is transparent.
    const sheet = percentileOf(seen, 50);
    return { ...plain, gray: shade.map((value, i) => (opaque[i] ? value : sheet)) };
  }
  // Only the strokes are opaque: their opacity is the digit, whatever their colour.
  const margin = Math.floor(Math.max(height, width) / 8) + 1;
  const [high, wide] = [height + 2 * margin, width + 2 * margin];
  const gray = new Float32Array(high * wide);
  alpha.forEach((value, i) => {
    gray[(Math.floor(i / width) + margin) * wide + (i % width) + margin] = 255 * value;
  });
  return { height: high, width: wide, margin, gray };
}
