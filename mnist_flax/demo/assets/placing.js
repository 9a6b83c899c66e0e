
// Scales a digit's ink and places it like the digits of MNIST, by the steps of
// mnist_flax/predict/placing.py.

/** Measures the mean width, in pixels, of the strokes in a mask. */
function strokeWidth({ height, width, data }) {
  const padded = { height: height + 2, width: width + 2, data: null };
  padded.data = new Uint8Array(padded.height * padded.width);
  data.forEach((inside, i) => {
    padded.data[(Math.floor(i / width) + 1) * padded.width + (i % width) + 1] = inside;
  });
  const inside = distances(padded).filter((_, i) => padded.data[i]);
  return 4 * (mean(inside) - 0.5);
}

/**
 * Makes an image like MNIST's of a digit.
 *
 * @param level the ink, a picture of 0 (paper) to 1.
 * @param mask the pixels of the digit's strokes.
 * @param floor the least ink that is no noise.
 * @returns Uint8Array(784), 0 (background) to 255.
 */
function placeDigit({ height, width, data }, mask, floor) {
  const inside = data.filter((_, i) => mask.data[i]);
  const half = median(inside);
  const full = percentile(
    inside.filter((value) => value >= half),
    60,
  );
  const wide = strokeWidth(mask);
  const outside = distances({ height, width, data: mask.data.map((value) => 1 - value) });
  let ink = picture(height, width, (i) => {
    const value = clip((data[i] - floor / 2) / (full - floor / 2), 0, 1);
    return outside[i] > wide / 2 + 1 || value < 0.2 ? 0 : value;
  });
  const box = boxOf(ink);
  const thin = (THINNEST / FIT) * longerSide(box);
  if (wide < thin) {
    // Scaled down, the strokes of a fine pen would nearly vanish: widen them.
    ink = picture(height, width, (i) => clip((thin - wide) / 2 + 1 - outside[i], 0, 1));
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
