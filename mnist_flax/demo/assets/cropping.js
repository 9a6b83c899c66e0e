
// Knows a picture that is cut tight around its digit, by the steps of
// mnist_flax/predict/cropping.py.

const NEAR = 3;
const SHARE = 0.02;
const RIM = 0.4;
const NARROW = 0.35;
const PARTS = 4;
const EVEN = 0.12;
const CROSSINGS = 6;

/**
 * Finds the digit in a picture that is cut tight around it.
 *
 * @returns `ink` and `marks`, one; null if the picture is not cut so.
 */
function findTight(gray) {
  const { height, width } = gray;
  const isNear = (gap, length) => gap <= Math.max(NEAR, SHARE * length);
  const isNarrow = Math.min(height, width) < NARROW * Math.max(height, width);
  for (const ink of inkOnEvenPaper(gray)) {
    const mask = maskAbove(ink.level, ink.most / 2);
    const parts = partsOf(mask);
    const rim = parts.reduce((sum, part) => sum + part.rim, 0);
    if (!parts.length || parts.length > PARTS || (rim > RIM && !isNarrow)) continue;
    if (crossings(mask) > CROSSINGS) continue;
    const mark = parts.reduce((one, other) => joined(one, other, false));
    const paper = ink.level.data.filter((value) => value < ink.most / 4);
    if (
      !isSheet(mark) &&
      isNear(Math.max(mark.top, height - mark.bottom), height) &&
      isNear(Math.max(mark.left, width - mark.right), width) &&
      paper.length &&
      percentile(paper, 90) - percentile(paper, 10) < EVEN * ink.most
    ) {
      return { ink, marks: [mark] };
    }
  }
  return null;
}

/** Counts how often one enters ink on the way around the rim of a mask. */
function crossings({ height, width, data }) {
  const rim = [];
  for (let column = 0; column < width; column++) rim.push(data[column]);
  for (let row = 1; row < height; row++) rim.push(data[row * width + width - 1]);
  for (let column = width - 2; column >= 0; column--) rim.push(data[(height - 1) * width + column]);
  for (let row = height - 2; row > 0; row--) rim.push(data[row * width]);
  return rim.filter((inked, i) => inked && !rim.at(i - 1)).length;
}
