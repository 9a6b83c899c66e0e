
// Takes ruled lines, squares and printed boxes out of the ink, by the steps of
// mnist_flax/predict/lines.py.

const BEYOND = 0.12;
const CORE = 0.5;
const SMALL = 64;
const LEFT = 0.75;
const SCRAP = 0.15;
const TOOTH = 4;
const DARKER = 1.3;
const ALIKE = 0.25;
const MANY = 4;

/** Removes lines; where a stroke crosses one, the stroke stays. */
function withoutLines(ink) {
  const { height, width, data } = ink.level;
  // In small pictures lines and strokes are equally thin.
  if (Math.max(height, width) < SMALL) return ink;
  const mask = maskAbove(ink.level, ink.floor);
  const found = [false, true].flatMap((upright) => findLines(ink.level, mask, upright));
  const lines = goingOn(found, mask);
  if (!lines.length) return ink;
  const strokes = erased(mask, lines);
  for (const { pixels, shade } of lines) {
    // A pen's stroke along a line is darker than the line.
    for (const at of pixels) strokes.data[at] = data[at] > DARKER * shade ? 1 : 0;
  }
  const rest = withoutTeeth(lines, withFreeMarks(ink.level, mask, strokes));
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
 * pen, with strokes as straight, thin and dark as lines.
 */
function withFreeMarks(level, mask, rest) {
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
    const levels = (kept) =>
      level.data.filter((_, at) => labels[at] === i + 1 && Boolean(rest.data[at]) === kept);
    if (median(levels(true)) > DARKER * median(levels(false))) return;
    for (let at = 0; at < data.length; at++) if (labels[at] === i + 1) data[at] = 1;
  });
  return { height, width, data };
}

/** Removes the teeth of a comb: alike bars as thin as the level line that they stand on. */
function withoutTeeth(lines, rest) {
  const { labels, parts } = connectedParts(rest);
  const removed = new Set();
  for (const line of lines.filter(({ upright }) => !upright)) {
    const bars = [];
    parts.forEach(({ top, left, bottom, right }, i) => {
      const [high, wide] = [bottom - top, right - left];
      const isThin = wide <= line.thickness + 1 && high >= TOOTH * wide;
      const foot = [bottom, (left + right - 1) / 2];
      if (isThin && meets(foot, line, line.thickness + 3)) bars.push({ label: i + 1, high });
    });
    for (const { label, high } of bars) {
      if (bars.filter((other) => Math.abs(high - other.high) <= 2).length > 1) removed.add(label);
    }
  }
  return { ...rest, data: rest.data.map((value, at) => (removed.has(labels[at]) ? 0 : value)) };
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

/** Keeps the lines that go on at both ends. */
function goingOn(lines, mask) {
  if (!lines.length) return [];
  let core = coreOf(lines, mask);
  if (!core) {
    // Lines along the rim may be bars of a digit that is cut tight.
    lines = lines.filter((line) => !isAlongRim(line, mask));
    // A 1 may be as straight and thin as the lines that it is written on.
    const ruled = lines.filter((line) => countAlike(line, lines) > 1);
    core = coreOf(lines, mask) || coreOf(ruled, mask);
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
  const last = (line.upright ? rest.height : rest.width) - 1;
  const rim = 2 + Math.max(rest.height, rest.width) / 100;
  if (Math.min(place[along], last - place[along]) < rim && isAlone(line, end, rest)) return true;
  if (endsAt(line, end, lines) || (core && isSide(line, end, lines))) return true;
  const alike = countAlike(line, lines);
  if (alike >= MANY) return true;
  const length = Math.abs(line.ends[1][along] - line.ends[0][along]);
  if (!core || (longerSide(core) < CORE * length && alike === 1)) return false;
  const [start, stop] = line.upright ? [core.top, core.bottom] : [core.left, core.right];
  return (end === 0 ? start - place[along] : place[along] - stop) > BEYOND * length;
}

/** Tells whether a line ends at another one, drawn by a pen as strong as its own. */
function endsAt(line, end, lines) {
  return lines.some(
    (other) =>
      other.upright !== line.upright &&
      line.shade < DARKER * other.shade &&
      line.thickness < 1.5 * other.thickness + 2 &&
      meets(line.ends[end], other, line.thickness + 3),
  );
}

/** Counts the lines that are like one, itself included: on ruled paper several are. */
function countAlike(line, lines) {
  const along = line.upright ? 0 : 1;
  const apart = ALIKE * Math.abs(line.ends[1][along] - line.ends[0][along]);
  return lines.filter(
    (other) =>
      other.upright === line.upright &&
      Math.abs(other.thickness - line.thickness) <= 1 &&
      Math.max(other.shade, line.shade) < DARKER * Math.min(other.shade, line.shade) &&
      [0, 1].every((i) => Math.abs(other.ends[i][along] - line.ends[i][along]) <= apart),
  ).length;
}

/** Tells whether a line is a side of a box whose next side a digit covers. */
function isSide(line, end, lines) {
  const along = line.upright ? 0 : 1;
  return lines.some(
    (other) =>
      other !== line &&
      other.upright === line.upright &&
      Math.abs(other.thickness - line.thickness) <= 1 &&
      [0, 1].every((i) => Math.abs(other.ends[i][along] - line.ends[i][along]) <= 3) &&
      [line, other].every((each) => endsAt(each, 1 - end, lines)),
  );
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
