
// Answers which digit a picture or a drawing shows, with a warning where that is doubtful, by the
// steps of mnist_flax/predict/answers.py.

// A mark that is at least this high beside the largest one is another digit.
const ANOTHER = 0.5;
// A mark that is unlike a digit, and wider than this for its height, may be several.
const WIDE_MARK = 1.0;
// Drawings are searched for marks in a mask of as many pixels a side.
const MASK_SIDE = 128;

/**
 * Reads a picture.
 *
 * @param gray a picture, 0 (black) to 255.
 * @returns the largest mark, as of `findDigits`; null if nothing stands out.
 */
function readGray(gray) {
  const readings = findDigits(gray);
  if (!readings.length) return null;
  // Of two ways to read it the first counts, unless only the second looks like a digit and has
  // thinner strokes: it may be the paper between them.
  const most = readings[0][0].thickness;
  const chosen =
    readings.find(([{ pixels, thickness }]) => !doubtOf({ pixels }) && thickness <= most) ??
    readings[0];
  return { ...chosen[0], warning: severalMarks(chosen) || doubtOf(chosen[0]) };
}

/**
 * Reads a drawing.
 *
 * @param strokes arrays of points [x, y], each 0 to 1; at least one.
 * @returns `pixels`, and `warning` or "".
 */
function readStrokes(strokes, pen) {
  const pixels = strokesToMnist(strokes, pen);
  const data = new Uint8Array(MASK_SIDE ** 2);
  for (const stroke of strokes) {
    const points = stroke.map((point) => point.map((value) => value * MASK_SIDE));
    points.forEach((end, i) => {
      mark(data, MASK_SIDE, points[Math.max(i - 1, 0)], end, (pen * MASK_SIDE) / 2);
    });
  }
  const marks = groupParts(partsOf({ height: MASK_SIDE, width: MASK_SIDE, data }));
  marks.sort((a, b) => extentOf(b) - extentOf(a));
  return { pixels, warning: severalMarks(marks) || doubtOf({ pixels }) };
}

/** Warns of a mark, for its place and ink or because it is unlike the digit of the answer. */
function doubtOf({ pixels, warning, top, left, bottom, right }) {
  if (warning) return warning;
  const digit = largest(logits(pixels));
  if (!isUnlike(pixels, digit)) return "";
  if (right - left > WIDE_MARK * (bottom - top)) return "It is no digit, or several that touch.";
  return `It does not look like ${withArticle(digit)}.`;
}

/** Warns if there are several marks, the largest first, as high as digits. */
function severalMarks([first, ...others]) {
  const high = ({ top, bottom }) => bottom - top;
  // A punch hole in a picture is a mark, too, but looks like no digit.
  const isDigit = (each) => !each.pixels || !doubtOf(each);
  const isHigh = (each) => high(each) >= ANOTHER * high(first);
  const count = 1 + others.filter((each) => isHigh(each) && isDigit(each)).length;
  return count > 1 ? `There are ${count} marks; it reads the largest.` : "";
}
