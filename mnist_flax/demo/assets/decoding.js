
// Reads a picture file in grey, by the steps of mnist_flax/predict/decoding.py. The browser
// decodes it: what it can show can be read.

// Limits of bytes and pixels, and of a canvas' side in browsers.
const MOST_BYTES = 2 ** 26;
const MOST_PIXELS = 64_000_000;
const LONGEST_SIDE = 16_384;
// Larger pictures are reduced to this, in pixels, before the digit is searched.
const REDUCED_SIDE = 512;
// Below this range of 256 grey levels the colours are asked whether they tell more.
const FLAT = 40;

/** What keeps a picture from being read, in a sentence for the person who gave it. */
class PictureError extends Error {}

/**
 * Reads a picture file.
 *
 * @returns `gray`, a picture of 0 (black) to 255; `margin`, the pixels that were added on each side;
 *   `shown`, a canvas with the picture, reduced as much and without the margin.
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
    return { ...inGray(parts), shown };
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

/**
 * Reduces a picture `factor` times, as Pillow does.
 *
 * @returns `height`, `width`; `colours`, red, green and blue, each Float32Array of 0 to 255;
 *   `alpha`, opacity, 0 (transparent) to 1.
 */
function reduced(bitmap, factor) {
  const [height, width] = [bitmap.height, bitmap.width].map((side) => Math.ceil(side / factor));
  const sums = [0, 1, 2, 3].map(() => new Float32Array(height * width));
  // In stripes: all of a photo at once would take too much memory for a phone, and no browser
  // has a canvas of more than 32,767 rows, which a narrow picture would get.
  const most = Math.min(2 ** 21 / bitmap.width, 4096);
  const rows = factor * Math.max(1, Math.floor(most / factor));
  const context = canvasOf(rows, bitmap.width).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < bitmap.height; top += rows) {
    context.clearRect(0, 0, bitmap.width, rows);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, bitmap.width, rows);
    const end = Math.min(rows, bitmap.height - top);
    for (let y = 0; y < end; y++) {
      const row = Math.floor((top + y) / factor) * width;
      addRow(data, y * bitmap.width, bitmap.width, factor, row, ...sums);
    }
  }
  const alpha = sums.pop();
  for (let i = 0; i < alpha.length; i++) {
    const down = Math.min(factor, bitmap.height - Math.floor(i / width) * factor);
    const count = down * Math.min(factor, bitmap.width - (i % width) * factor);
    alpha[i] = Math.floor(alpha[i] / count + 0.5) / 255;
    for (const colour of sums) {
      colour[i] = Math.floor(colour[i] / count + 0.5) / Math.max(alpha[i], 1 / 255);
    }
  }
  return { height, width, colours: sums, alpha };
}

/**
 * Adds `count` pixels from `start` on to the items of the sums from `row` on, `factor` of them to
 * each. (A function of its own and plain numbers: it runs over millions of pixels.)
 */
function addRow(data, start, count, factor, row, red, green, blue, opacity) {
  for (let x = 0; x < count; x++) {
    const at = 4 * (start + x);
    const alpha = data[at + 3];
    const i = row + Math.floor(x / factor);
    // Premultiplied: the colour of transparent pixels must not count.
    red[i] += Math.round((data[at] * alpha) / 255);
    green[i] += Math.round((data[at + 1] * alpha) / 255);
    blue[i] += Math.round((data[at + 2] * alpha) / 255);
    opacity[i] += alpha;
  }
}

/** Converts a reduced picture to grey without transparency. */
function inGray({ height, width, colours, alpha }) {
  const opaque = maskAbove({ height, width, data: alpha }, 0.5).data;
  const box = boxOf({ width, data: opaque });
  if (!box.bottom) return { gray: picture(height, width, () => 0), margin: 0 };
  const shade = shadeOf(colours, opaque);
  if (alpha.every((value) => value > 0.99)) {
    return { gray: { height, width, data: shade }, margin: 0 };
  }
  const seen = shade.filter((_, i) => opaque[i]).sort();
  const area = (box.bottom - box.top) * (box.right - box.left);
  const contrast = percentileOf(seen, 99) - percentileOf(seen, 1);
  if (seen.length >= 0.6 * area && contrast >= 60) {
    // An opaque sheet with a digit on it: extend the sheet over what is transparent.
    const sheet = percentileOf(seen, 50);
    const gray = picture(height, width, (i) => (opaque[i] ? shade[i] : sheet));
    return { gray, margin: 0 };
  }
  // Only the strokes are opaque: their opacity is the digit, whatever their colour.
  const margin = Math.floor(Math.max(height, width) / 8) + 1;
  const wide = width + 2 * margin;
  const gray = picture(height + 2 * margin, wide, () => 255);
  alpha.forEach((value, i) => {
    const row = Math.floor(i / width) + margin;
    gray.data[row * wide + (i % width) + margin] = 255 - 255 * value;
  });
  return { gray, margin };
}

/** Converts colours to grey: the luminance, or the colour in which more is seen. */
function shadeOf([red, green, blue], opaque) {
  const mixed = (weights) =>
    red.map((value, i) => weights[0] * value + weights[1] * green[i] + weights[2] * blue[i]);
  const range = (values) => {
    const seen = values.filter((_, i) => opaque[i]).sort();
    return percentileOf(seen, 99.5) - percentileOf(seen, 0.5);
  };
  // ITU-R BT.601.
  const gray = mixed([0.299, 0.587, 0.114]);
  if (range(gray) >= FLAT) return gray;
  // Ink as light as its paper: the direction in which the colours differ most.
  const along = mixed(mainDirection([red, green, blue].map((x) => x.filter((_, i) => opaque[i]))));
  if (range(along) < 2 * FLAT) return gray;
  const least = along.reduce((a, b) => Math.min(a, b));
  return along.map((value) => value - least);
}

/** Finds the direction in which three coordinates vary most around their medians. */
function mainDirection(coordinates) {
  const middles = coordinates.map(median);
  const products = coordinates.map((one, i) =>
    coordinates.map((other, j) =>
      one.reduce((sum, value, k) => sum + (value - middles[i]) * (other[k] - middles[j]), 0),
    ),
  );
  // Each multiplication turns it more to the main one.
  let direction = products.reduce((a, b) => (Math.hypot(...a) >= Math.hypot(...b) ? a : b));
  for (let i = 0; i < 50; i++) {
    const length = Math.hypot(...direction) || 1;
    const last = direction.map((value) => value / length);
    direction = products.map((row) => row.reduce((sum, value, j) => sum + value * last[j], 0));
  }
  const length = Math.hypot(...direction) || 1;
  return direction.map((value) => value / length);
}
