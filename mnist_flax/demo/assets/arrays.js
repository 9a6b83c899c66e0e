
// What NumPy, SciPy and Pillow do for mnist_flax/predict. A picture is an object with `height`,
// `width` and `data`, row by row; a mask has 0 and 1 in a Uint8Array.

// (Array.from and forEach are slow for as many numbers as a picture has: loops are not.)

/** Makes a picture whose pixels are `value(index)`. */
function picture(height, width, value) {
  const data = new Float32Array(height * width);
  for (let i = 0; i < data.length; i++) data[i] = value(i);
  return { height, width, data };
}

/** Makes the mask of the pixels that are greater than `least`. */
function maskAbove({ height, width, data }, least) {
  const mask = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) mask[i] = data[i] > least ? 1 : 0;
  return { height, width, data: mask };
}

function clip(value, least, most) {
  return Math.min(Math.max(value, least), most);
}

/** Rounds, halves to even numbers, as NumPy does. */
function roundEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}

/** Finds a percentile of numbers that are in order, with linear interpolation. */
function percentileOf(ordered, percent) {
  const at = ((ordered.length - 1) * percent) / 100;
  const low = ordered[Math.floor(at)];
  return low + (ordered[Math.ceil(at)] - low) * (at - Math.floor(at));
}

function percentile(values, percent) {
  const numbers = ArrayBuffer.isView(values) ? values.slice() : Float64Array.from(values);
  return percentileOf(numbers.sort(), percent);
}

const median = (values) => percentile(values, 50);

/** Finds the largest of the values within `radius` of each, along one axis. */
function largestNearby({ height, width, data }, radius, alongRows) {
  const found = new Float32Array(data.length);
  const [lines, length, step] = alongRows ? [height, width, 1] : [width, height, width];
  const places = new Int32Array(length);
  for (let line = 0; line < lines; line++) {
    const start = alongRows ? line * width : line;
    // The places in the window whose value none to their right exceeds.
    let first = 0;
    let last = 0;
    for (let i = 0; i < length + radius; i++) {
      if (i < length) {
        const value = data[start + i * step];
        while (last > first && data[start + places[last - 1] * step] <= value) last--;
        places[last++] = i;
      }
      const middle = i - radius;
      if (middle < 0) continue;
      while (places[first] < middle - radius) first++;
      found[start + middle * step] = data[start + places[first] * step];
    }
  }
  return { height, width, data: found };
}

/** Fills all dark things narrower than a square window: SciPy's grey_closing, "nearest". */
function closing(gray, side) {
  const radius = (side - 1) / 2;
  const widest = (image) => largestNearby(largestNearby(image, radius, true), radius, false);
  const negative = ({ height, width, data }) => ({ height, width, data: data.map((x) => -x) });
  return negative(widest(negative(widest(gray))));
}

/** Fills the holes of a mask: SciPy's binary_fill_holes. */
function withoutHoles({ height, width, data }) {
  const filled = new Uint8Array(data.length).fill(1);
  const waiting = [];
  const empty = (at) => {
    if (data[at] || !filled[at]) return;
    filled[at] = 0;
    waiting.push(at);
  };
  for (let i = 0; i < width; i++) [i, data.length - 1 - i].forEach(empty);
  for (let i = 0; i < height; i++) [i * width, (i + 1) * width - 1].forEach(empty);
  while (waiting.length) {
    const at = waiting.pop();
    if (at % width) empty(at - 1);
    if ((at + 1) % width) empty(at + 1);
    if (at >= width) empty(at - width);
    if (at + width < data.length) empty(at + width);
  }
  return { height, width, data: filled };
}

/** Filters a picture with symmetric weights along both axes; beyond its rim it is mirrored. */
function filter(image, weights) {
  const radius = (weights.length - 1) / 2;
  const { height, width } = image;
  let data = image.data;
  for (const [lines, length, line, step] of [
    [width, height, 1, width],
    [height, width, width, 1],
  ]) {
    const from = data;
    data = new Float32Array(from.length);
    for (let i = 0; i < lines; i++) {
      for (let j = 0; j < length; j++) {
        let sum = 0;
        for (let k = -radius; k <= radius; k++) {
          // d c b a | a b c d | d c b a
          let at = (((j + k) % (2 * length)) + 2 * length) % (2 * length);
          if (at >= length) at = 2 * length - 1 - at;
          sum += weights[k + radius] * from[i * line + at * step];
        }
        data[i * line + j * step] = sum;
      }
    }
  }
  return { height, width, data };
}

/** Blurs a picture: SciPy's gaussian_filter. */
function blur(image, sigma) {
  const radius = Math.floor(4 * sigma + 0.5);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)),
  );
  const sum = weights.reduce((a, b) => a + b);
  return filter(
    image,
    weights.map((weight) => weight / sum),
  );
}

/**
 * Finds the parts of a mask that are connected, also over corners.
 *
 * @returns labels, Int32Array with 0 outside and the parts' numbers from 1; and for each part its
 *   area and its box: top, left, bottom, right, the latter two beyond it.
 */
function connectedParts({ height, width, data }) {
  const labels = new Int32Array(data.length);
  const parts = [];
  const waiting = new Int32Array(data.length);
  for (let start = 0; start < data.length; start++) {
    if (!data[start] || labels[start]) continue;
    const part = { area: 0, top: height, left: width, bottom: 0, right: 0 };
    parts.push(part);
    let count = 0;
    waiting[count++] = start;
    labels[start] = parts.length;
    while (count) {
      const at = waiting[--count];
      const row = Math.floor(at / width);
      const column = at % width;
      part.area++;
      part.top = Math.min(part.top, row);
      part.left = Math.min(part.left, column);
      part.bottom = Math.max(part.bottom, row + 1);
      part.right = Math.max(part.right, column + 1);
      for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, height - 1); y++) {
        for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, width - 1); x++) {
          const next = y * width + x;
          if (!data[next] || labels[next]) continue;
          labels[next] = parts.length;
          waiting[count++] = next;
        }
      }
    }
  }
  return { labels, parts };
}

/**
 * Measures how far each pixel of a mask is from the nearest one outside: SciPy's
 * distance_transform_edt, by P. Felzenszwalb, D. Huttenlocher, Distance transforms of sampled
 * functions, 2012.
 */
function distances({ height, width, data }) {
  const far = (height + width) ** 2;
  const square = new Float64Array(data.length);
  for (let i = 0; i < data.length; i++) square[i] = data[i] ? far : 0;
  const longest = Math.max(height, width);
  const [places, values] = [new Int32Array(longest), new Float64Array(longest)];
  const bounds = new Float64Array(longest + 1);
  const transform = (start, step, length) => {
    let last = 0;
    places[0] = 0;
    bounds[0] = -Infinity;
    bounds[1] = Infinity;
    for (let i = 0; i < length; i++) values[i] = square[start + i * step];
    const meet = (i, j) => (values[i] + i * i - values[j] - j * j) / (2 * i - 2 * j);
    for (let i = 1; i < length; i++) {
      while (meet(i, places[last]) <= bounds[last]) last--;
      const at = meet(i, places[last]);
      places[++last] = i;
      bounds[last] = at;
      bounds[last + 1] = Infinity;
    }
    for (let i = 0, k = 0; i < length; i++) {
      while (bounds[k + 1] < i) k++;
      square[start + i * step] = (i - places[k]) ** 2 + values[places[k]];
    }
  };
  for (let column = 0; column < width; column++) transform(column, width, height);
  for (let row = 0; row < height; row++) transform(row * width, 1, width);
  for (let i = 0; i < square.length; i++) square[i] = Math.sqrt(square[i]);
  return square;
}

/** Scales a part of a picture, as Pillow does with its filter BOX, or BICUBIC to enlarge. */
function resize(image, { top, left, bottom, right }, height, width) {
  const shrinks = Math.max(bottom - top, right - left) > Math.max(height, width);
  const [support, weigh] = shrinks ? [0.5, boxWeight] : [2, cubicWeight];
  const along = (from, to, size, limit) => {
    const scale = (to - from) / size;
    const wide = Math.max(scale, 1);
    return Array.from({ length: size }, (_, i) => {
      const centre = from + (i + 0.5) * scale;
      const first = Math.max(Math.trunc(centre - support * wide + 0.5), 0);
      const end = Math.min(Math.trunc(centre + support * wide + 0.5), limit);
      const weights = Array.from({ length: end - first }, (_, k) =>
        weigh((first + k - centre + 0.5) / wide),
      );
      const sum = weights.reduce((a, b) => a + b);
      return { first, weights: weights.map((weight) => weight / sum) };
    });
  };
  const columns = along(left, right, width, image.width);
  const rows = along(top, bottom, height, image.height);
  const sum = ({ first, weights }, value) =>
    weights.reduce((total, weight, k) => total + weight * value(first + k), 0);
  const narrow = picture(image.height, width, (i) => {
    const row = Math.floor(i / width) * image.width;
    return sum(columns[i % width], (column) => image.data[row + column]);
  });
  return picture(height, width, (i) =>
    sum(rows[Math.floor(i / width)], (row) => narrow.data[row * width + (i % width)]),
  );
}

function boxWeight(x) {
  return x > -0.5 && x <= 0.5 ? 1 : 0;
}

function cubicWeight(x) {
  const far = Math.abs(x);
  if (far < 1) return 1.5 * far ** 3 - 2.5 * far ** 2 + 1;
  return far < 2 ? -0.5 * (far ** 3 - 5 * far ** 2 + 8 * far - 4) : 0;
}
