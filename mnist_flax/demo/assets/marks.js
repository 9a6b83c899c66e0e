
// Finds the marks in a picture's ink, by the steps of mnist_flax/predict/strokes.py.

const LEVELS = 12;

/**
 * Finds what was drawn.
 *
 * @returns the marks that are at least a third as large as the largest one, that one first:
 *   `mask`, of the whole picture; `top`, `left`, `bottom`, `right`; `size`, the longer side;
 *   `width`, of its strokes; `atRim`.
 */
function findMarks({ level, floor, most }) {
  let best = null;
  let size = 0;
  for (let i = 0; i < LEVELS; i++) {
    const found = partsAbove(level, floor + (0.8 * (most - floor) * i) / (LEVELS - 1));
    const inner = Math.max(0, ...found.parts.filter((part) => !part.atRim).map(longerSide));
    if (inner > 1.02 * size) [best, size] = [found, inner];
  }
  // A digit that is cut tight touches the rim, and what does not is a speck.
  const middle = partsAbove(level, floor + 0.4 * (most - floor));
  const cut = Math.max(0, ...middle.parts.filter((part) => part.atRim).map(longerSide));
  const tight = best === null || size < 0.35 * cut;
  if (tight) best = middle;
  const chosen = best.parts.filter((part) => tight || !part.atRim);
  const marks = groupParts(best, chosen);
  marks.sort((a, b) => b.size - a.size);
  return marks.filter((mark) => mark.size >= marks[0].size / 3);
}

/** Finds the connected parts of the ink above a level, without specks and frames. */
function partsAbove(level, least) {
  const { height, width } = level;
  const mask = { height, width, data: Uint8Array.from(level.data, (value) => value > least) };
  const { labels, parts } = connectedParts(mask);
  parts.forEach((part, i) => {
    part.label = i + 1;
    part.atRim =
      part.top === 0 || part.left === 0 || part.bottom === height || part.right === width;
  });
  const most = Math.max(0, ...parts.map(({ area }) => area));
  const kept = parts.filter(
    (part) => part.area >= Math.max(3, most / 200) && !isFrame(maskOf(labels, width, [part], part)),
  );
  return { labels, height, width, parts: kept };
}

const longerSide = ({ top, left, bottom, right }) => Math.max(bottom - top, right - left);

/** Makes the mask of some parts, within a box. */
function maskOf(labels, pictureWidth, parts, { top, left, bottom, right }) {
  const [height, width] = [bottom - top, right - left];
  const wanted = new Set(parts.map((part) => part.label));
  const data = new Uint8Array(height * width);
  for (let i = 0; i < data.length; i++) {
    const at = (top + Math.floor(i / width)) * pictureWidth + left + (i % width);
    data[i] = labels[at] && wanted.has(labels[at]);
  }
  return { height, width, data };
}

/** Tells whether a part lines all four sides of its box and leaves the middle empty. */
function isFrame({ height, width, data }) {
  if (Math.min(height, width) < 8) return false;
  const depth = Math.max(2, Math.floor(Math.min(height, width) / 10));
  const sides = [new Set(), new Set(), new Set(), new Set()];
  let area = 0;
  data.forEach((inside, i) => {
    if (!inside) return;
    area++;
    const [row, column] = [Math.floor(i / width), i % width];
    if (row < depth) sides[0].add(column);
    if (row >= height - depth) sides[1].add(column);
    if (column < depth) sides[2].add(row);
    if (column >= width - depth) sides[3].add(row);
  });
  const lined = sides.map((side, i) => side.size / (i < 2 ? width : height));
  return Math.min(...lined) > 0.8 && area / data.length < 0.5;
}

/** Joins the parts of broken strokes to marks. */
function groupParts({ labels, height, width }, chosen) {
  for (const part of chosen) part.width = strokeWidth(maskOf(labels, width, [part], part));
  let groups = [];
  for (const part of chosen.toSorted((a, b) => b.area - a.area)) {
    const near = groups.filter((group) => group.some((large) => belongs(part, large)));
    groups = [...groups.filter((group) => !near.includes(group)), [part, ...near.flat()]];
  }
  return groups.map((group) => {
    const box = {
      top: Math.min(...group.map(({ top }) => top)),
      left: Math.min(...group.map(({ left }) => left)),
      bottom: Math.max(...group.map(({ bottom }) => bottom)),
      right: Math.max(...group.map(({ right }) => right)),
    };
    return {
      ...box,
      size: longerSide(box),
      mask: maskOf(labels, width, group, { top: 0, left: 0, bottom: height, right: width }),
      width: strokeWidth(maskOf(labels, width, group, box)),
      atRim: group.some(({ atRim }) => atRim),
    };
  });
}

/** Tells whether a part belongs to the same digit as a larger one. */
function belongs(small, large) {
  if (small.area < large.area / 25) return false;
  // A blot, wider than any stroke.
  if (small.width > 1.7 * large.width && longerSide(small) < 2 * small.width) return false;
  const down = Math.max(large.top, small.top) - Math.min(large.bottom, small.bottom);
  const across = Math.max(large.left, small.left) - Math.min(large.right, small.right);
  if (Math.max(down, across) > 0.2 * longerSide(large)) return false;
  const narrow = Math.min(large.right - large.left, small.right - small.left);
  const low = small.bottom - small.top < 0.5 * (large.bottom - large.top);
  // Digits stand beside each other, the parts of one digit above each other.
  return -across >= 0.5 * narrow || (low && across < large.width);
}
