
// Turns a picture into an image like MNIST's, by the steps of mnist_flax/predict/images.py.

/**
 * Finds the digit in a picture.
 *
 * @param gray Float32Array(height * width), 0 (black) to 255.
 * @returns `pixels`, Uint8Array(784), 0 (background) to 255, and `box`, the digit's place: `top`,
 *   `left`, `bottom`, `right`; null if nothing stands out from the background.
 */
function findDigit(gray, height, width) {
  for (const ink of findInk({ height, width, data: gray })) {
    const [mark] = findMarks(ink);
    if (mark) return { pixels: placeDigit(ink.level, mark.mask, ink.floor), box: mark };
  }
  return null;
}

/** Turns a picture, as for `findDigit`, into 784 pixels; null if nothing stands out. */
function toMnist(gray, height, width) {
  return findDigit(gray, height, width)?.pixels ?? null;
}
