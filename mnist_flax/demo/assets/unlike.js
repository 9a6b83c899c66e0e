// Tells images of a digit from images of anything else, by the steps of
// mnist_flax/predict/doubt.py: two layers over the directions of strokes.

const DIRECTIONS = 8;
const CELLS = 4;
// The image with its margin, in pixels.
const WIDE = 32;

/**
 * Returns a function that tells whether 784 pixels are unlike a digit.
 *
 * @param table `hidden`, the number of hidden units; `values`, in base64 and float16, the kernels of
 *   two layers, each followed by its bias.
 */
function makeUnlikeness({ hidden, values }) {
  const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
  const numbers = Float32Array.from(new Uint16Array(bytes.buffer), fromHalf);
  let taken = 0;
  const take = (count) => numbers.subarray(taken, (taken += count));
  const measures = DIRECTIONS * CELLS * CELLS;
  const inner = makeDense(take(measures * hidden), take(hidden));
  // The last output is everything else's.
  const outer = makeDense(take(hidden * 11), take(11));

  return (pixels, digit) => {
    const logits = outer(inner(directionsOf(pixels)).map((value) => Math.max(0, value)));
    return logits[10] > logits[digit];
  };
}

/** Returns a function that applies a layer: `kernel` has a row for each of its inputs. */
function makeDense(kernel, bias) {
  return (inputs) =>
    Array.from(bias, (start, k) =>
      inputs.reduce((sum, value, i) => sum + value * kernel[i * bias.length + k], start),
    );
}

/** Converts the bits of a float16 to a number. */
function fromHalf(bits) {
  const [power, rest] = [(bits >> 10) & 31, (bits & 1023) / 1024];
  return (bits >> 15 ? -1 : 1) * (power ? 2 ** (power - 15) * (1 + rest) : 2 ** -14 * rest);
}

/** Measures how much ink begins or ends in each direction, in each part of an image. */
function directionsOf(pixels) {
  const margin = (WIDE - SIDE) / 2;
  let image = picture(WIDE, WIDE, (i) => {
    const [row, column] = [Math.floor(i / WIDE) - margin, (i % WIDE) - margin];
    const inside = row >= 0 && row < SIDE && column >= 0 && column < SIDE;
    return inside ? pixels[row * SIDE + column] / 255 : 0;
  });
  image = filter(image, [0.2, 0.6, 0.2]);
  const at = (row, column) =>
    row < 0 || row >= WIDE || column < 0 || column >= WIDE ? 0 : image.data[row * WIDE + column];
  const found = new Float64Array(DIRECTIONS * CELLS * CELLS);
  for (let row = 0; row < WIDE; row++) {
    for (let column = 0; column < WIDE; column++) {
      const side = (x) => at(row - 1, x) + 2 * at(row, x) + at(row + 1, x);
      const end = (y) => at(y, column - 1) + 2 * at(y, column) + at(y, column + 1);
      const across = side(column + 1) - side(column - 1);
      const down = end(row + 1) - end(row - 1);
      const size = Math.hypot(across, down);
      if (!size) continue;
      const turn = Math.atan2(down, across) / ((2 * Math.PI) / DIRECTIONS);
      const first = Math.floor(turn);
      // A direction between two is shared by both.
      for (const [direction, share] of [
        [first, 1 - (turn - first)],
        [first + 1, turn - first],
      ]) {
        const plane = ((direction + DIRECTIONS) % DIRECTIONS) * CELLS * CELLS;
        for (let y = 0; y < CELLS; y++) {
          for (let x = 0; x < CELLS; x++) {
            const weight = POOLING[y][row] * POOLING[x][column];
            found[plane + y * CELLS + x] += size * share * weight;
          }
        }
      }
    }
  }
  return found.map(Math.sqrt);
}

// The weights of each row or column in each cell.
const POOLING = Array.from({ length: CELLS }, (_, cell) => {
  const size = WIDE / CELLS;
  const centre = (cell + 0.5) * size - 0.5;
  const weights = Array.from({ length: WIDE }, (_, i) =>
    Math.max(0, 1 - Math.abs(i - centre) / size),
  );
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
});
