
// Knows a picture that is cut tight around its digit, by the steps of
// mnist_flax/predict/cropping.py.

const NEAR = 3;
const SHARE = 0.02;
const RIM = 0.4;
const MOST_PARTS = 4;
const EVEN = 0.12;

/**
 * Finds the digit in a picture that is cut tight around it.
 *
 * @returns `ink` and `marks`, one; null if the picture is not cut so.
 */
function findTight(gray) {
  const { height, width } = gray;
  const isNear = (gap, length) => gap <= Math.max(NEAR, SHARE * length);
  for (const ink of inkOnEvenPaper(gray)) {
    const parts = partsOf(maskAbove(ink.level, ink.most / 2));
    const rim = parts.reduce((sum, part) => sum + part.rim, 0);
    if (!parts.length || parts.length > MOST_PARTS || rim > RIM) continue;
    const mark = parts.reduce((one, other) => joined(one, other, false));
    const paper = ink.level.data.filter((value) => value < ink.most / 4);
    if (
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
