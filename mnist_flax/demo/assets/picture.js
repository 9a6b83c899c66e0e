
// Turns a picture into an image like MNIST's, by the steps of mnist_flax/predict/images.py.

/**
 * Finds the digit in a picture, scales it and places it like MNIST's.
 *
 * @param gray Float32Array(height * width), 0 (black) to 255.
 * @returns Uint8Array(784), 0 (background) to 255; null if nothing stands out.
 */
function toMnist(gray, height, width) {
  for (const ink of findInk({ height, width, data: gray })) {
    const [mark] = findMarks(ink);
    if (mark) return placeDigit(ink.level, mark.mask, ink.floor);
  }
  return null;
}
