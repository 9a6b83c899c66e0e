
// The page: the pen, the paper, the answer.

// Width of the pen, if the side of the paper is 1.
const PEN = 0.08;

const find = (name) => document.getElementById(name);
const paper = find("paper");
const logits = makeNetwork(JSON.parse(find("network").textContent));
// For tests, and for whoever is curious: 784 pixels, 0 (background) to 255, of some strokes, and
// the ten logits of such pixels.
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
// The pointer that draws; a second finger, or the palm, does not.
let drawing = null;
let waiting = false;

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

function drawPaper() {
  const side = Math.round(paper.clientWidth * window.devicePixelRatio);
  // Setting the size, even to what it is, clears a canvas.
  paper.width = paper.height = side;
  const context = paper.getContext("2d");
  context.scale(side, side);
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = PEN;
  context.strokeStyle = getComputedStyle(paper).color;
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...stroke[0]);
    // Through the middle of every two points, so that the curve has no corners.
    for (let i = 1; i < stroke.length; i++) {
      const [[x, y], [nextX, nextY]] = [stroke[i - 1], stroke[i]];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    const [x, y] = stroke.at(-1);
    // A little further: a line without length, a dot, would not be drawn.
    context.lineTo(x + 1e-4, y);
    context.stroke();
  }
}

function drawSeen(pixels) {
  const image = new ImageData(SIDE, SIDE);
  pixels.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  find("seen").getContext("2d").putImageData(image, 0, 0);
}

/** Shows ten probabilities; null if nothing is drawn. */
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

function describe(shares, first) {
  const name = (digit) => `${digit === 8 ? "an" : "a"} ${digit}`;
  if (shares[first] >= 0.9) return `This is ${name(first)}.`;
  const others = shares.map((share, digit) => (digit === first ? 0 : share));
  const second = others.indexOf(Math.max(...others));
  const sure = shares[first] >= 0.6 ? "Probably" : "Perhaps";
  return `${sure} ${name(first)}, or else ${name(second)}.`;
}

/** For those who hear the page: the answer when a stroke is done, and not at every movement. */
function speak() {
  requestAnimationFrame(() => {
    const digit = bars.findIndex(({ item }) => item.classList.contains("first"));
    find("spoken").textContent =
      digit < 0
        ? "The paper is empty."
        : `${find("sentence").textContent} ${bars[digit].percent.textContent} percent.`;
  });
}

function clear() {
  strokes = [];
  drawing = null;
  update();
  speak();
}

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
  // Between two frames a pen moves more than once; some browsers do not tell.
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
