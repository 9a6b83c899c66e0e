
// Turns strokes into an image like MNIST's, as mnist_flax/predict/images.py does: the digit is
// scaled to fit 20x20 pixels, and its centre of mass is placed in the middle of 28x28. The pixels
// are computed from the points, not read from a canvas: some browsers add noise to those.

const FIT = 20;
const SIDE = 28;
// Widths of strokes in MNIST, in pixels: a finer or broader pen is given the nearest of them.
const THINNEST = 1.8;
const THICKEST = 4;
// Each pixel is sampled at FINE x FINE points.
const FINE = 8;

/**
 * Turns strokes into an image.
 *
 * @param strokes arrays of points [x, y], each 0 to 1.
 * @param pen the width of the strokes, in the same unit.
 * @returns Uint8Array(784), 0 (background) to 255; all 0 if nothing is drawn.
 */
function strokesToMnist(strokes, pen) {
  const image = new Uint8Array(SIDE * SIDE);
  const points = strokes.flat();
  if (!points.length) return image;
  const [left, right, top, bottom] = box(points);
  const extent = Math.max(right - left, bottom - top);
  const exact = (FIT * pen) / (extent + pen);
  const width = Math.min(Math.max(exact, THINNEST), THICKEST);
  // A stroke that has just begun is not enlarged to the full size.
  const scale = (FIT - width) / Math.max(extent, pen);
  const place = ([x, y]) => [
    FINE * ((x - left) * scale + width / 2),
    FINE * ((y - top) * scale + width / 2),
  ];
  const covered = cover(strokes.map((stroke) => stroke.map(place)), (FINE * width) / 2);
  const [middleX, middleY, most] = centreOfMass(covered);
  const shift = (middle, size) => {
    const end = SIDE - Math.ceil(size * scale + width);
    return Math.min(Math.max(Math.round(SIDE / 2 - middle), 0), end);
  };
  const across = shift(middleX, right - left);
  const down = shift(middleY, bottom - top);
  covered.forEach((count, i) => {
    if (!count) return;
    const at = (Math.floor(i / FIT) + down) * SIDE + (i % FIT) + across;
    image[at] = Math.round((255 * count) / most);
  });
  return image;
}

/** Finds the bounding box of some points: left, right, top, bottom. */
function box(points) {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of points) {
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  }
  return [left, right, top, bottom];
}

/** Counts, for each of 20x20 pixels, the sampling points within `radius` of a stroke. */
function cover(strokes, radius) {
  const side = FIT * FINE;
  const inside = new Uint8Array(side * side);
  for (const stroke of strokes) {
    stroke.forEach((end, i) => mark(inside, side, stroke[Math.max(i - 1, 0)], end, radius));
  }
  const counts = new Uint16Array(FIT * FIT);
  inside.forEach((value, i) => {
    const [x, y] = [i % side, Math.floor(i / side)];
    counts[Math.floor(y / FINE) * FIT + Math.floor(x / FINE)] += value;
  });
  return counts;
}

/** Marks the sampling points within `radius` of the line from one point to another. */
function mark(inside, side, [x0, y0], [x1, y1], radius) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const square = dx * dx + dy * dy || 1;
  const from = (a, b) => Math.max(Math.floor(Math.min(a, b) - radius), 0);
  const to = (a, b) => Math.min(Math.ceil(Math.max(a, b) + radius), side);
  for (let row = from(y0, y1); row < to(y0, y1); row++) {
    for (let column = from(x0, x1); column < to(x0, x1); column++) {
      const [x, y] = [column + 0.5 - x0, row + 0.5 - y0];
      const along = Math.min(Math.max((x * dx + y * dy) / square, 0), 1);
      const [missX, missY] = [x - along * dx, y - along * dy];
      if (missX * missX + missY * missY <= radius * radius) inside[row * side + column] = 1;
    }
  }
}

/** Finds the mean column and row of counts in 20x20 pixels, and the largest count. */
function centreOfMass(counts) {
  let [x, y, sum, most] = [0, 0, 0, 0];
  counts.forEach((count, i) => {
    x += count * (i % FIT);
    y += count * Math.floor(i / FIT);
    sum += count;
    most = Math.max(most, count);
  });
  return [x / sum, y / sum, most];
}
