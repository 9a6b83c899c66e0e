
// What the ten probabilities do not say: a drawing that is no digit yet, a 7 that may be a 1.

// A drawing of a smaller extent is no digit yet. The paper is 1 wide, the pen 0.08.
const SMALLEST = 0.16;

/** Tells whether strokes are too small to be a digit. */
function isTooSmall(strokes) {
  const [left, right, top, bottom] = box(strokes.flat());
  return Math.max(right - left, bottom - top) < SMALLEST;
}

/**
 * Tells whether what the network reads as a 7 may be a 1 with a long flag, as written in Europe, by
 * the steps of mnist_flax/predict/ones.py.
 *
 * @param pixels 784 of them, 0 (background) to 255.
 * @param logits the network's ten.
 */
function mayBeOne(pixels, logits) {
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a]);
  return order[0] === 7 && order[1] === 1 && hasFlag(pixels);
}

/** Tells whether an image is an upright stem with an edge at its top that falls to the left. */
function hasFlag(pixels) {
  const inked = (column, row) => pixels[row * SIDE + column] >= 128;
  const all = [...Array(SIDE).keys()];
  const rows = all.filter((row) => all.some((column) => inked(column, row)));
  if (!rows.length) return false;
  const height = rows.at(-1) - rows[0] + 1;
  const edge = all
    .map((column) => [column, all.find((row) => inked(column, row))])
    .filter(([, row]) => row !== undefined);
  const apex = edge.findLast(([, row]) => row <= rows[0] + 1)[0];
  const flag = edge.filter(([column]) => column <= apex);
  if (flag.length < 3) return false;
  const drop = (-slope(flag) * (apex - flag[0][0])) / height;

  const quarter = Math.floor(height / 4);
  const right = all.findLast((column) =>
    rows.some((row) => row <= rows[0] + quarter && inked(column, row)),
  );
  const foot = rows
    .filter((row) => row >= rows.at(-1) - quarter)
    .flatMap((row) => all.filter((column) => inked(column, row)));
  const lean = (right - mean(foot)) / height;
  return drop >= 0.1 && lean <= 0.2;
}

/** Finds the slope of the line through points [x, y] with the least squared errors. */
function slope(points) {
  const middle = mean(points.map(([x]) => x));
  const sum = (values) => values.reduce((a, b) => a + b);
  return (
    sum(points.map(([x, y]) => (x - middle) * y)) / sum(points.map(([x]) => (x - middle) ** 2))
  );
}

function mean(values) {
  return values.reduce((a, b) => a + b) / values.length;
}
