
// Scales a digit's ink and places it like the digits of MNIST, by the steps of
// mnist_flax/predict/placing.py.

/**
 * Makes an image like MNIST's of a mark.
 *
 * @returns Uint8Array(784), 0 (background) to 255.
 */
function placeMark({ level, floor }, mark) {
  const thin = (THINNEST / FIT) * longerSide(mark);
  const margin = Math.trunc(Math.max(mark.width, thin) / 2) + 2;
  const [top, left] = [Math.max(0, mark.top - margin), Math.max(0, mark.left - margin)];
  const height = Math.min(mark.bottom + margin, level.height) - top;
  const width = Math.min(mark.right + margin, level.width) - left;
  const part = picture(height, width, (i) => {
    return level.data[(top + Math.floor(i / width)) * level.width + left + (i % width)];
  });
  const mask = { height, width, data: new Uint8Array(height * width) };
  mark.mask.data.forEach((inside, i) => {
    const row = mark.top - top + Math.floor(i / mark.mask.width);
    mask.data[row * width + mark.left - left + (i % mark.mask.width)] = inside;
  });
  const inside = part.data.filter((_, i) => mask.data[i]);
  const half = median(inside);
  const full = percentile(
    inside.filter((value) => value >= half),
    60,
  );
  const outside = distances({ ...mask, data: mask.data.map((value) => 1 - value) });
  let ink = picture(height, width, (i) => {
    // Gaps in strokes have little ink of their own.
    const isBridge = mask.data[i] && part.data[i] <= floor;
    const value = isBridge ? 1 : clip((part.data[i] - floor / 2) / (full - floor / 2), 0, 1);
    // Keep the faded edge of a stroke, up to half the stroke's width.
    return outside[i] > mark.width / 2 + 1 || value < 0.2 ? 0 : value;
  });
  if (mark.width < thin) {
    // Scaled down, the strokes of a fine pen would nearly vanish: widen them.
    ink = picture(height, width, (i) => clip((thin - mark.width) / 2 + 1 - outside[i], 0, 1));
  }
  return placeInk(ink);
}

/** Scales ink to fit 20x20 and centres its mass in 28x28. */
function placeInk(ink) {
  const box = boxOf(ink);
  const sides = [box.bottom - box.top, box.right - box.left];
  const [height, width] = sides.map((side) =>
    Math.max(1, roundEven((FIT * side) / Math.max(...sides))),
  );
  const small = resize(ink, box, height, width);
  const most = small.data.reduce((a, b) => Math.max(a, b));
  const digit = small.data.map((value) => clip(roundEven(value * (255 / most)), 0, 255));
  let [x, y, sum] = [0, 0, 0];
  digit.forEach((value, i) => {
    x += value * (i % width);
    y += value * Math.floor(i / width);
    sum += value;
  });
  const top = clip(roundEven(SIDE / 2 - y / sum), 0, SIDE - height);
  const left = clip(roundEven(SIDE / 2 - x / sum), 0, SIDE - width);
  const image = new Uint8Array(SIDE * SIDE);
  digit.forEach((value, i) => {
    image[(Math.floor(i / width) + top) * SIDE + (i % width) + left] = value;
  });
  return image;
}

/** Finds the box of all pixels of a picture that are not 0. */
function boxOf({ width, data }) {
  const found = { top: Infinity, left: Infinity, bottom: 0, right: 0 };
  data.forEach((value, i) => {
    if (!value) return;
    const [row, column] = [Math.floor(i / width), i % width];
    found.top = Math.min(found.top, row);
    found.left = Math.min(found.left, column);
    found.bottom = Math.max(found.bottom, row + 1);
    found.right = Math.max(found.right, column + 1);
  });
  return found;
}
