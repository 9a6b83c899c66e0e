
// Finds the ink in a picture, by the steps of mnist_flax/predict/contrast.py.

const WINDOW = 0.35;
const STROKES = 4;
const NARROWER = 0.9;
const DARK = 24;
const LEAST = 0.03;
const NOISE = 5;

/**
 * Measures how much darker, and how much lighter, each pixel is than its paper.
 *
 * @param gray a picture, 0 (black) to 255.
 * @returns the ink if it is dark and if it is light, the more likely one first: `level`, a picture;
 *   `floor`, the least level that is no noise; `most`, the level of the strongest ink; `gray`, the
 *   grey levels that it was measured in.
 */
function findInk(gray) {
  const { height, width } = gray;
  const both = darkAndLight(gray);
  const side = Math.max(5, Math.trunc(WINDOW * Math.max(height, width)) | 1);
  const [first, second] = both.map((each) => edges(closing(each, side)));
  if (second < first) both.reverse();
  return both.map((each) => measureInk(each, paperOf(each, side))).filter(standsOut);
}

/** Tells whether ink stands out from the noise. */
const standsOut = ({ floor, most }) => most > 1.3 * floor;

/** Stretches and smooths a picture, and inverts it; returns both. */
function darkAndLight({ height, width, data }) {
  const white = Math.max(percentile(data, 99.9), 1);
  const dark = smooth(picture(height, width, (i) => data[i] * (255 / white)));
  return [dark, picture(height, width, (i) => 255 - dark.data[i])];
}

/** Measures ink on paper that is of one shade, its lightest: first dark ink, then light. */
function inkOnEvenPaper({ height, width, data }) {
  const margin = Math.floor(Math.min(height, width) / 2) + 1;
  const wide = width + 2 * margin;
  return darkAndLight({ height, width, data })
    .map((gray) => {
      const paper = percentile(gray.data, 98);
      // With more paper around it, at least a quarter of the picture is paper.
      const padded = picture(height + 2 * margin, wide, (i) => {
        const [row, column] = [Math.floor(i / wide) - margin, (i % wide) - margin];
        const isInside = row >= 0 && row < height && column >= 0 && column < width;
        return isInside ? gray.data[row * width + column] : paper;
      });
      const even = picture(height + 2 * margin, wide, () => paper);
      const { level, floor } = measureInk(padded, even);
      const inside = picture(height, width, (i) => {
        return level.data[(Math.floor(i / width) + margin) * wide + (i % width) + margin];
      });
      return { level: inside, floor, most: strongest(inside.data.slice().sort()), gray };
    })
    .filter(standsOut);
}

/** Measures ink anew beside its strokes: what is much wider than they are is paper, too. */
function narrowed(ink, width) {
  const side = Math.max(5, Math.trunc(STROKES * width) | 1);
  const { gray } = ink;
  if (side > NARROWER * WINDOW * Math.max(gray.height, gray.width)) return ink;
  const found = measureInk(gray, paperOf(gray, side));
  return standsOut(found) ? found : ink;
}

/** Fills what is dark and narrower than a window; the rim goes on outside the picture. */
function paperOf({ height, width, data }, side) {
  const half = (side - 1) / 2;
  const wide = width + 2 * half;
  const padded = picture(height + 2 * half, wide, (i) => {
    const row = clip(Math.floor(i / wide) - half, 0, height - 1);
    return data[row * width + clip((i % wide) - half, 0, width - 1)];
  });
  const filled = closing(padded, side).data;
  return picture(height, width, (i) => {
    return filled[(Math.floor(i / width) + half) * wide + (i % width) + half];
  });
}

/** Compares a picture with its paper. */
function measureInk(gray, paper) {
  const { height, width, data } = gray;
  const level = picture(height, width, (i) => (paper.data[i] - data[i]) / (paper.data[i] + DARK));
  const ordered = level.data.slice().sort();
  const usual = percentileOf(ordered, 25);
  const noise = (usual - percentileOf(ordered, 2)) / 1.38;
  const floor = Math.max(usual + (0.67 + NOISE) * noise, LEAST);
  // Noise is as strong in dark paper as in light paper, though not as a share of it.
  const least = floor * (median(paper.data) + DARK);
  const clean = picture(height, width, (i) =>
    paper.data[i] - data[i] < least ? 0 : level.data[i],
  );
  return { level: clean, floor, most: strongest(clean.data.slice().sort()), gray };
}

/** Finds the level of the strongest ink, but for a few pixels, in levels that are in order. */
function strongest(ordered) {
  const { length } = ordered;
  return ordered[length - Math.min(Math.max(4, Math.floor(length / 10_000)), length)];
}

/** Blurs a noisy picture, as much as its noise demands. */
function smooth(gray) {
  if (Math.min(gray.height, gray.width) < 48) return gray;
  const differences = filter(gray, [1, -2, 1]).data.map(Math.abs);
  const noise = median(differences) / 0.6745 / 6;
  if (noise <= 2) return gray;
  const longer = Math.max(gray.height, gray.width);
  return blur(gray, Math.min(1.5, 0.3 + noise / 10) * Math.max(1, longer / 250));
}

/** Sums the differences between neighbouring pixels. */
function edges({ height, width, data }) {
  let sum = 0;
  for (let i = 0; i < data.length; i++) {
    if (i >= width) sum += Math.abs(data[i] - data[i - width]);
    if (i % width) sum += Math.abs(data[i] - data[i - 1]);
  }
  return sum;
}
