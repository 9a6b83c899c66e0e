
// Finds the marks in a picture's ink, by the steps of mnist_flax/predict/strokes.py.

const LEVELS = 12;
const THICK = 0.15;
const SHEET = 40;
const SPECK = 1 / 200;
const MOST_PARTS = 60;
const ALONG = 0.25;
const DARKEST = 0.65;
const INSIDE = 0.3;

const longerSide = ({ top, left, bottom, right }) => Math.max(bottom - top, right - left);
const largestExtent = (marks) => Math.max(0, ...marks.map(extentOf));

/** Measures the size of a mark, less if it is narrow. */
function extentOf(mark) {
  const shorter = Math.min(mark.bottom - mark.top, mark.right - mark.left);
  return longerSide(mark) ** 0.75 * shorter ** 0.25;
}

/**
 * Finds what was drawn.
 *
 * @returns the marks that are at least a third as large as the largest one, that one first: the
 *   box `top`, `left`, `bottom`, `right`; `mask`, of the box; `area`; `width`, of its strokes;
 *   `rim`, the share of the picture's rim that it covers.
 */
function findMarks({ level, floor, most }) {
  let best = [];
  for (let i = 0; i < LEVELS; i++) {
    const first = Math.max(floor, 0.12 * most);
    const parts = partsOf(maskAbove(level, first + (i * (0.8 * most - first)) / (LEVELS - 1)));
    const inner = parts.filter((part) => !part.rim);
    if (inner.length && largestExtent(inner) > 1.02 * largestExtent(best)) best = inner;
  }
  // A digit that is cut tight touches the rim; what does not touch it is a speck.
  const middle = partsOf(maskAbove(level, floor + 0.4 * (most - floor)));
  const cut = middle.filter((part) => part.rim <= ALONG);
  if (largestExtent(best) < 0.35 * largestExtent(cut)) best = cut;
  if (!best.length) best = middle;
  const marks = groupParts(best).sort((a, b) => extentOf(b) - extentOf(a));
  return marks.filter((mark) => 3 * extentOf(mark) >= extentOf(marks[0]));
}

/** Measures the mean width, in pixels, of the strokes in a mask. */
function strokeWidth({ height, width, data }) {
  const wide = width + 2;
  const padded = { height: height + 2, width: wide, data: new Uint8Array((height + 2) * wide) };
  for (let row = 0; row < height; row++) {
    padded.data.set(data.subarray(row * width, (row + 1) * width), (row + 1) * wide + 1);
  }
  const inside = distances(padded);
  let [sum, count] = [0, 0];
  for (let i = 0; i < inside.length; i++) {
    sum += inside[i];
    count += padded.data[i];
  }
  return 4 * (sum / count - 0.5);
}

/** Measures the width of a mark's darkest strokes, without a shadow that joins them. */
function darkestWidth({ level }, { top, left, mask }) {
  const { height, width, data } = mask;
  const part = picture(height, width, (i) => {
    return level.data[(top + Math.floor(i / width)) * level.width + left + (i % width)];
  });
  const inside = part.data.filter((_, i) => data[i]);
  const least = DARKEST * percentile(inside, 95);
  return strokeWidth({ height, width, data: data.map((x, i) => x && part.data[i] > least) });
}

/** Tells whether a mark is a sheet of paper, upright or turned, with something on it. */
function isSheet(mark) {
  // In a smaller mark a 0 is as square as a sheet.
  if (longerSide(mark) < SHEET || mark.width < THICK * longerSide(mark)) return false;
  const { width, data } = withoutHoles(mark.mask);
  const points = [];
  data.forEach((inside, i) => {
    if (inside) points.push([Math.floor(i / width), i % width]);
  });
  let least = Infinity;
  for (let degrees = -20; degrees <= 20; degrees += 2) {
    const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    const [left, right, top, bottom] = box(
      points.map(([row, column]) => [row * cos - column * sin, row * sin + column * cos]),
    );
    least = Math.min(least, (right - left + 1) * (bottom - top + 1));
  }
  return points.length > 0.9 * least && points.length > 1.02 * mark.area;
}

/** Finds the connected parts of a mask, without specks and frames. */
function partsOf(mask) {
  const { labels, parts } = connectedParts(mask);
  const most = Math.max(0, ...parts.map(({ area }) => area));
  const frames = [];
  const largest = new Set(parts.toSorted((a, b) => b.area - a.area).slice(0, MOST_PARTS));
  const found = parts.flatMap((part, i) => {
    if (!largest.has(part) || part.area < Math.max(3, SPECK * most)) return [];
    const { top, left, bottom, right } = part;
    const wide = right - left;
    const own = { height: bottom - top, width: wide, data: new Uint8Array((bottom - top) * wide) };
    for (let row = top, k = 0; row < bottom; row++) {
      for (let at = row * mask.width + left; k < (row - top + 1) * wide; at++, k++) {
        own.data[k] = labels[at] === i + 1 ? 1 : 0;
      }
    }
    const found = { ...part, mask: own, width: strokeWidth(own), rim: rimOf(labels, mask, i + 1) };
    if (!isFrame(own, part.area)) return [found];
    // A printed box, and what touches it from within; or else a square 0.
    frames.push(found);
    const inner = partsOf(withoutFrame(own))
      .filter((each) => longerSide(each) > INSIDE * longerSide(found))
      .map((each) => ({
        ...each,
        top: each.top + top,
        left: each.left + left,
        bottom: each.bottom + top,
        right: each.right + left,
        rim: 0,
      }));
    return inner.length ? inner : [found];
  });
  return found.filter((part) => !frames.includes(part) || !hasInside(part, found));
}

/** Computes the share of a picture's rim that has a label. */
function rimOf(labels, { height, width }, label) {
  let count = 0;
  for (const { first, along, count: pixels } of sidesOf({ height, width })) {
    for (let i = 0; i < pixels; i++) count += labels[first + i * along] === label ? 1 : 0;
  }
  return count / (2 * (height + width));
}

/** Tells whether a large part lies within a frame. */
function hasInside(frame, parts) {
  return parts.some(
    (part) =>
      part !== frame &&
      longerSide(part) > INSIDE * longerSide(frame) &&
      frame.top <= part.top &&
      part.bottom <= frame.bottom &&
      frame.left <= part.left &&
      part.right <= frame.right,
  );
}

/**
 * Lists the four sides of a box: the indices of the pixels on a side are `first`, `first + along`,
 * ..., `count` of them, and those of the next line inwards are greater by `inwards`; there are
 * `depth` lines.
 */
function sidesOf({ height, width }) {
  const [right, bottom] = [width - 1, (height - 1) * width];
  return [
    { first: 0, along: 1, count: width, inwards: width, depth: height },
    { first: right, along: width, count: height, inwards: -1, depth: width },
    { first: bottom, along: 1, count: width, inwards: -width, depth: height },
    { first: 0, along: width, count: height, inwards: 1, depth: width },
  ];
}

/** Removes the rows and columns at the sides of a frame that it lines. */
function withoutFrame(mask) {
  const data = mask.data.slice();
  for (const { first, along, count, inwards, depth } of sidesOf(mask)) {
    const pixels = (line) =>
      Array.from({ length: count }, (_, i) => first + line * inwards + i * along);
    const isLined = (line) => mean(pixels(line).map((at) => data[at])) > 0.6;
    let open = 0;
    while (open < depth && isLined(open)) open++;
    for (let line = 0; line <= open % depth; line++) for (const at of pixels(line)) data[at] = 0;
  }
  return { ...mask, data };
}

/** Tells whether a part lines all four sides of its box and leaves the middle empty. */
function isFrame(mask, area) {
  const { height, width, data } = mask;
  if (Math.min(height, width) < 8 || area >= 0.5 * data.length) return false;
  const depth = Math.max(1, Math.floor(Math.min(height, width) / 12));
  return sidesOf(mask).every(({ first, along, count, inwards }) => {
    let lined = 0;
    for (let i = 0; i < count; i++) {
      let line = 0;
      while (line < depth && !data[first + i * along + line * inwards]) line++;
      if (line < depth) lined++;
    }
    return lined > 0.9 * count;
  });
}
