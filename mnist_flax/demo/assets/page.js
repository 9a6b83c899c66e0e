
// The page: takes strokes, draws them, and shows the network's answer.

// Width of the pen; the paper is 1 wide.
const PEN = 0.08;

const find = (name) => document.getElementById(name);
const paper = find("paper");
const logits = makeNetwork(JSON.parse(find("network").textContent));
// For tests and the console: pixels(strokes) gives 784 pixels, 0 (background) to 255, and
// logits(pixels) ten logits.
window.mnist = { pixels: (strokes) => toMnist(strokes, PEN), logits };

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
// The id of the pointer that draws, or null; a second finger or the palm does not draw.
let drawing = null;
let waiting = false;

/** Redraws the page with the next frame. */
function update() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawPaper();
    const pixels = toMnist(strokes, PEN);
    drawSeen(pixels);
    answer(strokes.length ? softmax(logits(pixels)) : null);
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

/** Shows ten probabilities, or null for an empty paper. */
function answer(shares) {
  const first = shares ? shares.indexOf(Math.max(...shares)) : -1;
  document.body.classList.toggle("drawn", shares !== null);
  bars.forEach(({ item, percent }, digit) => {
    const share = shares ? shares[digit] : 0;
    item.style.setProperty("--share", share.toFixed(4));
    item.classList.toggle("first", digit === first);
    percent.textContent = Math.round(100 * share);
  });
  find("digit").textContent = shares ? first : "?";
  find("sentence").textContent = shares ? describe(shares, first) : "It answers as you draw.";
}

/** Describes ten probabilities in a sentence. */
function describe(shares, first) {
  const name = (digit) => `${digit === 8 ? "an" : "a"} ${digit}`;
  if (shares[first] >= 0.9) return `This is ${name(first)}.`;
  const others = shares.map((share, digit) => (digit === first ? 0 : share));
  const second = others.indexOf(Math.max(...others));
  const sure = shares[first] >= 0.6 ? "Probably" : "Perhaps";
  return `${sure} ${name(first)}, or else ${name(second)}.`;
}

/** Gives screen readers the answer once a stroke is done, not at every movement. */
function speak() {
  requestAnimationFrame(() => {
    const digit = bars.findIndex(({ item }) => item.classList.contains("first"));
    find("spoken").textContent =
      digit < 0
        ? "The paper is empty."
        : `${find("sentence").textContent} ${bars[digit].percent.textContent} percent.`;
  });
}

/** Empties the paper. */
function clear() {
  strokes = [];
  drawing = null;
  update();
  speak();
}

/** Adds the place of a pointer to the last stroke. */
function addPoint(event) {
  const { left, top, width, height } = paper.getBoundingClientRect();
  const inside = (value) => Math.min(Math.max(value, 0), 1);
  strokes.at(-1).push([
    inside((event.clientX - left) / width),
    inside((event.clientY - top) / height),
  ]);
}

paper.addEventListener("pointerdown", (event) => {
  if (drawing !== null || event.button !== 0) return;
  drawing = event.pointerId;
  paper.setPointerCapture(drawing);
  strokes.push([]);
  addPoint(event);
  update();
});
paper.addEventListener("pointermove", (event) => {
  if (event.pointerId !== drawing) return;
  // A pen may move several times between two frames; not all browsers report that.
  const all = event.getCoalescedEvents?.() ?? [];
  (all.length ? all : [event]).forEach(addPoint);
  update();
});
for (const end of ["pointerup", "pointercancel"]) {
  paper.addEventListener(end, (event) => {
    if (event.pointerId !== drawing) return;
    drawing = null;
    speak();
  });
}
paper.addEventListener("contextmenu", (event) => event.preventDefault());
find("clear").addEventListener("click", clear);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" || event.key === "Delete") clear();
});
new ResizeObserver(update).observe(paper);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);
update();
