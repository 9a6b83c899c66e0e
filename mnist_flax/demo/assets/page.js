
// The page: shows what is drawn, and the network's answer.

// Width of the pen; the paper is 1 wide.
const PEN = 0.08;

const find = (name) => document.getElementById(name);
const paper = find("paper");
const logits = makeNetwork(JSON.parse(find("network").textContent));
// For tests and the console: pixels(strokes) gives 784 pixels, 0 (background) to 255, and
// logits(pixels) ten logits, mayBeOne(pixels) whether a 7 may be a 1.
window.mnist = { pixels: (strokes) => strokesToMnist(strokes, PEN), logits, mayBeOne };

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
let waiting = false;

/** Redraws the page with the next frame. */
function update() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawPaper();
    const pixels = strokesToMnist(strokes, PEN);
    drawSeen(pixels);
    document.body.classList.toggle("drawn", strokes.length > 0);
    if (!strokes.length) answer(null, "It answers as you draw.");
    else if (isTooSmall(strokes)) answer(null, "This is no digit yet. Draw it larger.");
    else {
      const shares = softmax(logits(pixels));
      answer(shares, describe(shares, pixels));
    }
  });
}

/** Draws the strokes on the paper. */
function drawPaper() {
  const side = Math.round(paper.clientWidth * window.devicePixelRatio);
  // Setting the size of a canvas clears it.
  paper.width = paper.height = side;
  const context = paper.getContext("2d");
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
function describe(shares, pixels) {
  const first = largest(shares);
  const second = largest(shares.map((share, digit) => (digit === first ? 0 : share)));
  if (shares[first] < 0.6) return `Perhaps. It may be ${withArticle(second)}.`;
  if (shares[first] < 0.9) return `Probably, or else ${withArticle(second)}.`;
  return first === 7 && mayBeOne(pixels) ? "Or a 1 with a long flag?" : "";
}

const largest = (shares) => shares.indexOf(Math.max(...shares));
const withArticle = (digit) => `${digit === 8 ? "an" : "a"} ${digit}`;

/** Gives screen readers the answer once a stroke is done, not at every movement. */
function speak(prefix = "") {
  requestAnimationFrame(() => {
    const digit = bars.findIndex(({ item }) => item.classList.contains("first"));
    const sentence = strokes.length ? find("sentence").textContent : "The paper is empty.";
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
