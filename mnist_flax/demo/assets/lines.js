
// Takes ruled lines, squares and printed boxes out of the ink, by the steps of
// mnist_flax/predict/lines.py.

const SLOPES = Array.from({ length: 43 }, (_, i) => (i === 42 ? 0.21 : i * (0.42 / 42) - 0.21));
const LENGTH = 0.2;
const THICKNESS = 1 / 25;
const BEYOND = 0.12;
const CORE = 0.5;
const SMALL = 64;
const LEFT = 0.75;
const SCRAP = 0.15;
const MOST_LINES = 60;

/** Removes lines; where a stroke crosses one, the stroke stays. */
function withoutLines(ink) {
  const { height, width, data } = ink.level;
  // In small pictures lines and strokes are equally thin.
  if (Math.max(height, width) < SMALL) return ink;
  const mask = maskAbove(ink.level, ink.floor);
  const lines = goingOn([...findLines(mask, false), ...findLines(mask, true)], mask);
  if (!lines.length) return ink;
  const rest = withFreeMarks(mask, erased(mask, lines));
  const crossed = rest.data.slice();
  for (const upright of [false, true]) {
    const thickness = lines.filter((line) => line.upright === upright).map((x) => x.thickness);
    // Strokes go on across a line that has ink on both sides.
    if (thickness.length) bridge(rest, Math.max(...thickness) + 4, upright, crossed);
  }
  if (!rest.data.some(Boolean)) return ink;
  const level = picture(height, width, (i) => (mask.data[i] && !crossed[i] ? 0 : data[i]));
  const most = strongest(level.data.slice().sort());
  return most > 1.3 * ink.floor ? { ...ink, level, most } : ink;
}

/** Removes the pixels of lines from a mask. */
function erased({ height, width, data }, lines) {
  const rest = data.slice();
  for (const { pixels } of lines) for (const at of pixels) rest[at] = 0;
  return { height, width, data: rest };
}

/**
 * Puts marks back that touch no rim and of which a part would be left: they are digits of a fine
 * pen, with strokes as straight and thin as lines.
 */
function withFreeMarks(mask, rest) {
  const { labels, parts } = connectedParts(mask);
  const { height, width } = mask;
  const data = rest.data.slice();
  const touched = new Set(labels.filter((_, at) => mask.data[at] && !rest.data[at]));
  parts.forEach((part, i) => {
    const { top, left, bottom, right } = part;
    if (!touched.has(i + 1)) return;
    if (top === 0 || left === 0 || bottom === height || right === width) return;
    const own = data.map((value, at) => (labels[at] === i + 1 ? rest.data[at] : 0));
    const pieces = connectedParts({ height, width, data: own }).parts;
    const share = Math.max(0, ...pieces.map(longerSide)) / longerSide(part);
    if (share <= SCRAP || share >= LEFT) return;
    for (let at = 0; at < data.length; at++) if (labels[at] === i + 1) data[at] = 1;
  });
  return { height, width, data };
}

/** Marks in `crossed` the gaps of a mask, along one axis, that are narrower than `length`. */
function bridge({ height, width, data }, length, alongRows, crossed) {
  const [lines, count, line, step] = alongRows
    ? [height, width, width, 1]
    : [width, height, 1, width];
  for (let i = 0; i < lines; i++) {
    let last = -Infinity;
    for (let j = 0; j < count; j++) {
      if (!data[i * line + j * step]) continue;
      if (j - last <= length) for (let k = last + 1; k < j; k++) crossed[i * line + k * step] = 1;
      last = j;
    }
  }
}

/**
 * Finds nearly level, or nearly upright, thin, straight lines in a mask.
 *
 * @returns the lines: `upright`; `pixels`, indices; `ends`, two of [row, column]; `thickness`.
 */
function findLines(mask, upright) {
  const longer = Math.max(mask.height, mask.width);
  const thickest = Math.max(3, Math.trunc(THICKNESS * longer));
  const least = Math.max(12, LENGTH * longer);
  let runs = thinRuns(mask, upright, thickest);
  const lines = [];
  while (runs.length >= least && lines.length < MOST_LINES) {
    const { slope, offset, count } = densest(runs);
    if (count < least / 2) break;
    const heights = runs.map((run) => run.middle - slope * run.column);
    const middle = median(heights.filter((height) => roundEven(height) === offset));
    const on = longestStretch(
      runs.filter((_, i) => Math.abs(heights[i] - middle) <= 1.5),
      0.5 * longer,
    );
    const [first, last] = [on[0].column, on.at(-1).column];
    const length = last - first + 1;
    if (length >= least && on.length >= 0.5 * length) {
      const [step, line] = upright ? [1, mask.width] : [mask.width, 1];
      const ends = [first, last].map((column) => [middle + slope * column, column]);
      lines.push({
        upright,
        pixels: on.flatMap(({ column, start, stop }) =>
          Array.from({ length: stop - start }, (_, i) => column * line + (start + i) * step),
        ),
        ends: upright ? ends.map(([row, column]) => [column, row]) : ends,
        thickness: Math.trunc(median(on.map(({ start, stop }) => stop - start))),
      });
    }
    const used = new Set(on);
    runs = runs.filter((run) => !used.has(run));
  }
  return lines;
}

/** Finds the runs of a mask across a line's direction that are no thicker than a line. */
function thinRuns({ height, width, data }, upright, thickest) {
  const [columns, rows, column, row] = upright
    ? [height, width, width, 1]
    : [width, height, 1, width];
  const runs = [];
  for (let x = 0; x < columns; x++) {
    for (let y = 0; y < rows; y++) {
      if (!data[x * column + y * row]) continue;
      const start = y;
      while (y < rows && data[x * column + y * row]) y++;
      if (y - start <= thickest) {
        runs.push({ column: x, start, stop: y, middle: (start + y - 1) / 2 });
      }
    }
  }
  return runs;
}

/** Finds the slope and the height of the line on which most runs lie. */
function densest(runs) {
  let best = { count: 0 };
  for (const slope of SLOPES) {
    const counts = new Map();
    for (const { middle, column } of runs) {
      const offset = roundEven(middle - slope * column);
      counts.set(offset, (counts.get(offset) ?? 0) + 1);
    }
    for (const [offset, count] of counts) {
      const first = slope === best.slope && offset < best.offset;
      if (count > best.count || (count === best.count && first)) best = { slope, offset, count };
    }
  }
  return best;
}

/** Finds the longest part of runs in which no gap is wider than `widest`. */
function longestStretch(runs, widest) {
  const pieces = [[]];
  for (const run of runs) {
    const last = pieces.at(-1).at(-1);
    if (last && run.column - last.column > widest) pieces.push([]);
    pieces.at(-1).push(run);
  }
  return pieces.reduce((longest, piece) => (piece.length > longest.length ? piece : longest));
}

/** Keeps the lines that go on at both ends. */
function goingOn(lines, mask) {
  if (!lines.length) return [];
  let core = coreOf(lines, mask);
  if (!core) {
    // Lines along the rim may be bars of a digit that is cut tight.
    lines = lines.filter((line) => !isAlongRim(line, mask));
    core = coreOf(lines, mask);
  }
  for (;;) {
    const rest = erased(mask, lines);
    const kept = lines.filter(
      (line) =>
        passes(line, core) && [0, 1].every((end) => goesOn(line, end, lines, core, rest)),
    );
    if (kept.length === lines.length) return kept;
    lines = kept;
  }
}

/** Finds the box of the largest thing that is no line; null if it is next to nothing. */
function coreOf(lines, mask) {
  let core = null;
  for (const part of connectedParts(erased(mask, lines)).parts) {
    if (!core || part.area > core.area) core = part;
  }
  return core && longerSide(core) >= 0.08 * Math.max(mask.height, mask.width) ? core : null;
}

/** Tells whether a line lies along the rim of the picture. */
function isAlongRim({ upright, ends, thickness }, { height, width }) {
  const across = upright ? 1 : 0;
  const middle = (ends[0][across] + ends[1][across]) / 2;
  return Math.min(middle, (upright ? width : height) - 1 - middle) < 2 * thickness;
}

/** Tells whether a line passes the middle of what else stands there, as no loop of an 8. */
function passes({ upright, ends }, core) {
  if (!core) return true;
  const along = upright ? 0 : 1;
  const [start, stop] = upright ? [core.top, core.bottom] : [core.left, core.right];
  const middle = (start + stop) / 2;
  return (
    Math.min(ends[0][along], ends[1][along]) <= middle &&
    middle <= Math.max(ends[0][along], ends[1][along])
  );
}

/**
 * Tells whether a line goes on at an end (0: the first, 1: the last).
 *
 * @param core the box of the largest part of what else there is, or null.
 * @param rest the mask without lines.
 */
function goesOn(line, end, lines, core, rest) {
  const along = line.upright ? 0 : 1;
  const place = line.ends[end];
  const near = line.thickness + 3;
  const last = (line.upright ? rest.height : rest.width) - 1;
  const rim = 2 + Math.max(rest.height, rest.width) / 100;
  if (Math.min(place[along], last - place[along]) < rim && isAlone(line, end, rest)) return true;
  if (lines.some((other) => other.upright !== line.upright && meets(place, other, near))) {
    return true;
  }
  const length = Math.abs(line.ends[1][along] - line.ends[0][along]);
  if (!core || longerSide(core) < CORE * length) return false;
  const [start, stop] = line.upright ? [core.top, core.bottom] : [core.left, core.right];
  return (end === 0 ? start - place[along] : place[along] - stop) > BEYOND * length;
}

/** Tells whether no stroke, only other lines, is near an end of a line. */
function isAlone({ ends, thickness }, end, { height, width, data }) {
  const reach = 3 * thickness + 3;
  const [top, left] = ends[end].map((value) => Math.max(Math.trunc(value) - reach, 0));
  let count = 0;
  for (let row = top; row < Math.min(top + 2 * reach + 1, height); row++) {
    for (let column = left; column < Math.min(left + 2 * reach + 1, width); column++) {
      count += data[row * width + column];
    }
  }
  // Where lines cross each other, some pixels are none's.
  return count <= 4 * thickness ** 2;
}

/** Tells whether a place, row and column, is on a line or `near` to it. */
function meets(place, line, near) {
  const along = line.upright ? 0 : 1;
  const [first, last] = line.ends;
  const share = clip((place[along] - first[along]) / Math.max(last[along] - first[along], 1), 0, 1);
  return [0, 1].every(
    (axis) => Math.abs(first[axis] + share * (last[axis] - first[axis]) - place[axis]) <= near,
  );
}
