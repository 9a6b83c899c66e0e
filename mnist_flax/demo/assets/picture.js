
// Turns a picture into images like MNIST's, by the steps of mnist_flax/predict/images.py.

const MOSTLY_INK = 0.5;
const SOLID = 0.7;
const BAR = 0.35;
const FAINT = 0.06;
const UNSURE = 1.5;
const CUT = 0.1;

/**
 * Finds the digits in a picture.
 *
 * @param gray a picture, 0 (black) to 255.
 * @returns one or two ways to read it, the likelier one first, or none if nothing stands out. Each
 *   is an array of marks, the largest first: `pixels`, Uint8Array(784), 0 (background) to 255; the
 *   box `top`, `left`, `bottom`, `right`; `thickness`, the width of its strokes as a share of its
 *   longer side; `warning`, what is unusual about its place and its ink,
 *   or "".
 */
function findDigits(gray) {
  const tight = findTight(gray);
  const found = tight ? [tight] : [];
  for (const each of findInk(gray)) {
    let ink = withoutLines(each);
    let marks = findMarks(ink);
    const finer = marks.length ? narrowed(each, darkestWidth(ink, marks[0])) : each;
    if (finer !== each) {
      ink = withoutLines(finer);
      marks = findMarks(ink);
    }
    if (marks.length) found.push({ ink, marks });
  }
  if (found.length === 2 && !tight && isSheet(found[0].marks[0])) found.reverse();
  return found.map(({ ink, marks }) =>
    marks.map((mark) => ({
      ...mark,
      pixels: placeMark(ink, mark),
      thickness: mark.width / longerSide(mark),
      warning: oddity(ink, mark),
    })),
  );
}

/** Tells what is unusual about a mark's place and ink; "" if nothing is. */
function oddity({ level, floor, most }, mark) {
  const solid = Math.max(MOSTLY_INK * level.data.length, SOLID * mark.mask.data.length);
  const isBar = shorterSide(mark) <= BAR * longerSide(mark);
  if (mark.area > solid && !isBar) return "Ink covers most of the picture.";
  for (const [before, behind] of [
    [mark.top, level.height - mark.bottom],
    [mark.left, level.width - mark.right],
  ]) {
    if (Math.min(before, behind) === 0 && Math.max(before, behind) > CUT * longerSide(mark)) {
      return "It is cut off at the rim.";
    }
  }
  return most < Math.max(FAINT, UNSURE * floor) ? "It is very faint." : "";
}

/** Turns float grey levels into the 784 pixels of the largest digit; null if there is none. */
function toMnist(gray, height, width) {
  return findDigits({ height, width, data: gray })[0]?.[0].pixels ?? null;
}
