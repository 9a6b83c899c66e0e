
// Joins the parts of a digit whose strokes are broken or do not touch, by the steps of
// mnist_flax/predict/grouping.py.

const GAP = 0.1;

/** Joins the parts of broken strokes. */
function groupParts(parts) {
  let marks = parts.toSorted((a, b) => b.area - a.area);
  let i = 0;
  while (i < marks.length) {
    const large = marks[i];
    const mates = marks.slice(i + 1).filter((mark) => belongs(mark, large));
    marks[i] = mates.reduce((one, other) => joined(one, other, true), large);
    marks = marks.filter((mark) => !mates.includes(mark));
    i = mates.length ? 0 : i + 1;
  }
  return marks;
}

/** Tells whether a mark is a part of the same digit as a larger one. */
function belongs(small, large) {
  if (small.area < large.area / 25) return false;
  const { first, second, both } = together(large, small);
  const size = longerSide(both);
  const gap = leastWithin(second, distanceFrom(first));
  const isBlot = isWide(small, large) || isCircle(small, large);
  if (gap <= Math.min(GAP * size, large.width + 1)) return !isBlot || gap <= (GAP / 2) * size;
  if (isBlot) return false;
  const down = Math.max(large.top, small.top) - Math.min(large.bottom, small.bottom);
  const across = Math.max(large.left, small.left) - Math.min(large.right, small.right);
  if (Math.max(down, across) > 0.2 * longerSide(large)) return false;
  // Digits stand beside each other and are about as high; the parts of one digit stand above each
  // other, or one is much lower, or hardly any gap is between them.
  const narrow = Math.min(small.right - small.left, large.right - large.left);
  if (-across >= 0.5 * narrow) return true;
  const wide = (both.right - both.left) / (both.bottom - both.top);
  if (small.bottom - small.top < 0.5 * (large.bottom - large.top)) return wide < 1.4;
  return wide < 0.9 && across < 0.6 * large.width;
}

const shorterSide = ({ top, left, bottom, right }) => Math.min(bottom - top, right - left);
const solidity = ({ area, mask }) => area / mask.data.length;

/** Tells whether a mark is a blot: solid, and wider than the strokes. */
function isWide(small, { width }) {
  const shorter = shorterSide(small);
  return shorter > 1.4 * width && longerSide(small) < 1.4 * shorter && solidity(small) > 0.65;
}

/** Tells whether a mark is a punch hole. */
function isCircle(small, { width }) {
  const [shorter, solid] = [shorterSide(small), solidity(small)];
  const isRound = longerSide(small) < 1.15 * shorter && solid > 0.7 && solid < 0.83;
  return isRound && shorter > 0.8 * width;
}

/** Finds the box of two marks, and the mask of each in it. */
function together(one, other) {
  const both = {
    top: Math.min(one.top, other.top),
    left: Math.min(one.left, other.left),
    bottom: Math.max(one.bottom, other.bottom),
    right: Math.max(one.right, other.right),
  };
  const [height, width] = [both.bottom - both.top, both.right - both.left];
  const [first, second] = [one, other].map(({ top, left, mask }) => {
    const data = new Uint8Array(height * width);
    mask.data.forEach((inside, i) => {
      const row = Math.floor(i / mask.width) + top - both.top;
      data[row * width + (i % mask.width) + left - both.left] = inside;
    });
    return { height, width, data };
  });
  return { both, first, second };
}

/** Measures the distance of each pixel from a mask. */
function distanceFrom({ height, width, data }) {
  return distances({ height, width, data: data.map((value) => 1 - value) });
}

/** Finds the least of the values within a mask. */
function leastWithin({ data }, values) {
  return values.reduce((least, value, i) => (data[i] ? Math.min(least, value) : least), Infinity);
}

/** Makes one mark of two; if `bridged`, with what lies between them if they are close. */
function joined(one, other, bridged) {
  const { both, first, second } = together(one, other);
  const mask = { ...first, data: first.data.map((value, i) => value | second.data[i]) };
  if (bridged) {
    const far = distanceFrom(second);
    const sums = distanceFrom(first).map((value, i) => value + far[i]);
    const gap = leastWithin(mask, sums);
    if (gap <= GAP * longerSide(both)) {
      mask.data = mask.data.map((value, i) => (sums[i] <= 1.5 * gap ? 1 : value));
    }
  }
  const width = (one.area * one.width + other.area * other.width) / (one.area + other.area);
  const area = mask.data.reduce((sum, value) => sum + value, 0);
  return { ...both, mask, area, width, rim: one.rim + other.rim };
}
