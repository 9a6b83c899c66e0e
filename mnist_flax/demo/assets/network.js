
// The network: convolutions, each followed by ReLU and optionally by 2x2 max pooling; the mean
// of each channel; a linear layer. Batch norm is folded into the weights. Activations are
// [channel][y][x] in float64; only the weights are rounded to float32.

/** Returns a function that computes ten logits from 784 pixels, 0 (background) to 255. */
function makeNetwork({ mean, std, convolutions, weights }) {
  const bytes = Uint8Array.from(atob(weights), (letter) => letter.charCodeAt(0));
  const numbers = new Float32Array(bytes.buffer);
  let taken = 0;
  const take = (count) => numbers.subarray(taken, (taken += count));
  const layers = convolutions.map((layer) => ({
    ...layer,
    weight: take(layer.outputs * layer.inputs * layer.size ** 2),
    bias: take(layer.outputs),
  }));
  const features = layers.at(-1).outputs;
  const weight = take(10 * features);
  const bias = take(10);

  return (pixels) => {
    let side = 28;
    let x = Float64Array.from(pixels, (pixel) => (pixel / 255 - mean) / std);
    for (const layer of layers) {
      x = convolve(x, side, layer);
      if (layer.pool) {
        x = maxPool(x, side);
        side /= 2;
      }
    }
    const means = Array.from({ length: features }, (_, channel) => {
      const plane = x.subarray(channel * side ** 2, (channel + 1) * side ** 2);
      return plane.reduce((sum, value) => sum + value, 0) / side ** 2;
    });
    return Array.from(bias, (start, digit) =>
      means.reduce((sum, value, i) => sum + value * weight[digit * features + i], start),
    );
  };
}

/** Applies a zero-padded convolution, then ReLU. Weights are [output][input][y][x]. */
function convolve(x, side, { inputs, outputs, size, weight, bias }) {
  const margin = (size - 1) / 2;
  const wide = side + 2 * margin;
  const padded = new Float64Array(inputs * wide * wide);
  for (let row = 0; row < inputs * side; row++) {
    const top = Math.floor(row / side) * wide + (row % side) + margin;
    padded.set(x.subarray(row * side, (row + 1) * side), top * wide + margin);
  }
  const y = new Float64Array(outputs * side * side);
  let at = 0;
  for (let output = 0; output < outputs; output++) {
    const plane = output * side * side;
    y.fill(bias[output], plane, plane + side * side);
    for (let input = 0; input < inputs; input++) {
      for (let down = 0; down < size; down++) {
        for (let right = 0; right < size; right++) {
          const factor = weight[at++];
          for (let row = 0; row < side; row++) {
            const from = (input * wide + row + down) * wide + right;
            const to = plane + row * side;
            for (let i = 0; i < side; i++) y[to + i] += factor * padded[from + i];
          }
        }
      }
    }
  }
  return y.map((value) => Math.max(value, 0));
}

/** Takes the largest of each 2x2 values. */
function maxPool(x, side) {
  const half = side / 2;
  // Sides are even: i can number the rows of all channels as those of one tall image.
  return Float64Array.from({ length: x.length / 4 }, (_, i) => {
    const from = 2 * Math.floor(i / half) * side + 2 * (i % half);
    return Math.max(x[from], x[from + 1], x[from + side], x[from + side + 1]);
  });
}

/** Converts ten logits to ten probabilities. */
function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}
