
// The page: shows what is drawn, and the network's answer.

// Width of the pen; the paper is 1 wide.
const PEN = 0.08;

const find = (name) => document.getElementById(name);
const paper = find("paper");
const network = JSON.parse(find("network").textContent);
const logits = makeNetwork(network);
const isUnlike = makeUnlikeness(network.shapes);
// For tests and the console: pixels(strokes) and toMnist(gray, height, width) give 784 pixels, 0
// (background) to 255; logits(pixels) ten logits; mayBeOne(pixels, logits) whether a 7 may be a 1;
// isUnlike(pixels, digit) whether they are unlike this digit.
window.mnist = {
  pixels: (strokes) => strokesToMnist(strokes, PEN),
  toMnist,
  logits,
  mayBeOne,
  isUnlike,
};

const bars = Array.from({ length: 10 }, (_, digit) => {
  const item = document.createElement("li");
  const part = (name, ...contents) => {
    const span = document.createElement("span");
    span.className = name;
    span.append(...contents);
    return span;
  };
  const percent = part("percent", 0);
  const share = part("share", percent, part("unit", "\u00a0%"));
  item.append(part("number", digit), part("track", part("bar")), share);
  find("bars").append(item);
  return { item, percent };
});

let strokes = [];
// The picture that was given instead, or null: `shown`, a canvas; `pixels`, `box` and `warning` of
// the digit in it, or `refusal`, a sentence that says why there are none.
let given = null;
let waiting = false;

/** Redraws the page with the next frame. */
function update() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawPaper();
    const { pixels, refusal, warning } = given ?? readDrawing();
    drawSeen(pixels ?? new Uint8Array(SIDE * SIDE));
    document.body.classList.toggle("drawn", given !== null || strokes.length > 0);
    const shares = refusal ? null : softmax(logits(pixels));
    answer(shares, refusal ?? describe(shares, pixels, warning));
  });
}

/** Reads the strokes: `pixels`, and `warning`, or `refusal` if they are no digit. */
function readDrawing() {
  if (!strokes.length) return { refusal: "It answers as you draw." };
  const read = readStrokes(strokes, PEN);
  if (!isTooSmall(strokes)) return read;
  return { ...read, refusal: "This is no digit yet. Draw it larger." };
}

/** Draws the strokes or the picture on the paper. */
function drawPaper() {
  const side = Math.round(paper.clientWidth * window.devicePixelRatio);
  // Setting the size of a canvas clears it.
  paper.width = paper.height = side;
  const context = paper.getContext("2d");
  if (given?.shown) drawPicture(context, side, given);
  context.scale(side, side);
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = PEN;
  context.strokeStyle = getComputedStyle(paper).color;
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...stroke[0]);
    // A smooth curve through the midpoints of neighbouring points.
    for (let i = 1; i < stroke.length; i++) {
      const [[x, y], [nextX, nextY]] = [stroke[i - 1], stroke[i]];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    const [x, y] = stroke.at(-1);
    // A little further, as a line of length 0 (a dot) would not be drawn.
    context.lineTo(x + 1e-4, y);
    context.stroke();
  }
}

/** Draws a picture as large as the paper lets it, with a line around its digit. */
function drawPicture(context, side, { shown, box }) {
  context.save();
  const scale = side / Math.max(shown.height, shown.width);
  context.translate((side - scale * shown.width) / 2, (side - scale * shown.height) / 2);
  context.scale(scale, scale);
  // Black and white strokes are both seen on it, where the rest is transparent.
  context.fillStyle = "#8f8f8f";
  context.fillRect(0, 0, shown.width, shown.height);
  context.drawImage(shown, 0, 0);
  if (box) {
    const gap = 4 / scale;
    context.strokeStyle = getComputedStyle(find("cursor")).borderTopColor;
    context.lineWidth = (2 * window.devicePixelRatio) / scale;
    context.strokeRect(
      box.left - gap,
      box.top - gap,
      box.right - box.left + 2 * gap,
      box.bottom - box.top + 2 * gap,
    );
  }
  context.restore();
}

/** Draws the image that the network sees. */
function drawSeen(pixels) {
  const image = new ImageData(SIDE, SIDE);
  pixels.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  find("seen").getContext("2d").putImageData(image, 0, 0);
}

/** Shows ten probabilities, or null where there is no answer, and a sentence. */
function answer(shares, sentence) {
  const first = shares ? largest(shares) : -1;
  document.body.classList.toggle("answered", shares !== null);
  bars.forEach(({ item, percent }, digit) => {
    const share = shares ? shares[digit] : 0;
    item.style.setProperty("--share", share.toFixed(4));
    item.classList.toggle("first", digit === first);
    percent.textContent = Math.round(100 * share);
  });
  find("digit").textContent = shares ? first : "?";
  find("sentence").textContent = sentence;
}

/** Says what the digit alone does not: how sure it is, and what else it may be. */
function describe(shares, pixels, warning) {
  if (warning) return warning;
  if (mayBeOne(pixels, shares)) return "It may be a 1 with a long flag.";
  const first = largest(shares);
  const second = largest(shares.map((share, digit) => (digit === first ? 0 : share)));
  if (shares[first] < 0.6) return `Perhaps. It may be ${withArticle(second)}.`;
  if (shares[first] < 0.9) return `Probably, or else ${withArticle(second)}.`;
  return "";
}

const largest = (shares) => shares.indexOf(Math.max(...shares));
const withArticle = (digit) => `${digit === 8 ? "an" : "a"} ${digit}`;

/** Gives screen readers the answer once a stroke is done, not at every movement. */
function speak(prefix = "") {
  requestAnimationFrame(() => {
    const digit = bars.findIndex(({ item }) => item.classList.contains("first"));
    const empty = !given && !strokes.length;
    const sentence = empty ? "The paper is empty." : find("sentence").textContent;
    const found = digit < 0 ? "" : `${digit}, ${bars[digit].percent.textContent} percent.`;
    announce([prefix, found, sentence].filter(Boolean).join(" "));
  });
}

/** Has screen readers say a text when they are done with what they say. */
function announce(text) {
  find("spoken").textContent = text;
}

/** Redraws when only the pixels of the screen become finer or coarser. */
function watchPixelRatio() {
  const now = matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
  const changed = () => {
    update();
    watchPixelRatio();
  };
  now.addEventListener("change", changed, { once: true });
}

new ResizeObserver(update).observe(paper);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);
watchPixelRatio();
update();
