
// Finds thin, straight lines that are nearly level or upright, by the steps of
// mnist_flax/predict/straight.py.

const SLOPES = Array.from({ length: 43 }, (_, i) => (i === 42 ? 0.21 : i * (0.42 / 42) - 0.21));
const LENGTH = 0.2;
const THICKNESS = 1 / 25;
const MOST_LINES = 60;

/**
 * Finds nearly level, or nearly upright, thin, straight lines in a mask.
 *
 * @returns the lines: `upright`; `pixels`, indices; `ends`, two of [row, column]; `thickness`;
 *   `shade`, how dark its ink is.
 */
function findLines(level, mask, upright) {
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
    const stretch = longestStretch(
      runs.filter((_, i) => Math.abs(heights[i] - middle) <= 1.5),
      0.5 * longer,
    );
    const thickness = Math.trunc(median(stretch.map(({ start, stop }) => stop - start)));
    // Specks in its way do not make a stroke a line.
    const on = stretch.filter(({ start, stop }) => stop - start >= thickness / 2);
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
        thickness,
        shade: median(
          on.map(({ column, start, stop }) => {
            return level.data[column * line + Math.floor((start + stop - 1) / 2) * step];
          }),
        ),
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
