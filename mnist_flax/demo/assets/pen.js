
// The pen: mouse, finger, pen or keyboard add points to `strokes`.

// How far an arrow key moves the pen; the paper is 1 wide.
const STEP = 0.04;
const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

// The id of the pointer that draws, or null; a second finger or the palm does not draw.
let drawing = null;
// The keyboard's pen: its place, whether it is down, and the arrow keys that are held.
let place = [0.5, 0.5];
let isDown = false;
const held = new Set();

const onPaper = (value) => Math.min(Math.max(value, 0), 1);

/** Empties the paper. */
function clear() {
  given = null;
  strokes = [];
  drawing = null;
  lowerPen(false);
  update();
  speak();
}

/** Begins a stroke; a picture makes way for it. */
function begin(...points) {
  given = null;
  strokes.push(points);
}

/** Adds the place of a pointer to the last stroke. */
function addPoint(event) {
  const { left, top, width, height } = paper.getBoundingClientRect();
  strokes
    .at(-1)
    .push([onPaper((event.clientX - left) / width), onPaper((event.clientY - top) / height)]);
}

/** Lowers or lifts the keyboard's pen. */
function lowerPen(down) {
  isDown = down;
  find("cursor").classList.toggle("down", down);
  if (down) begin(place);
}

/** Moves the keyboard's pen by what the held keys say; two of them move it aslant. */
function movePen() {
  place = place.map((value, axis) => {
    const steps = [...held].reduce((sum, key) => sum + ARROWS[key][axis], 0);
    return onPaper(value + STEP * steps);
  });
  const { style } = find("cursor");
  [style.left, style.top] = place.map((value) => `${100 * value}%`);
  if (isDown) strokes.at(-1).push(place);
}

paper.addEventListener("pointerdown", (event) => {
  if (drawing !== null || event.button !== 0) return;
  lowerPen(false);
  paper.classList.remove("keyed");
  drawing = event.pointerId;
  paper.setPointerCapture(drawing);
  begin();
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

// The browser knows whether the focus came from the keyboard. It does not take that back when the
// mouse goes on.
paper.addEventListener("focus", () => {
  paper.classList.toggle("keyed", paper.matches(":focus-visible"));
});
paper.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key in ARROWS) {
    held.add(event.key);
    movePen();
  } else if (event.key === " ") {
    // A held key repeats.
    if (!event.repeat) {
      lowerPen(!isDown);
      if (isDown) announce("Pen down.");
      else speak("Pen up.");
    }
  } else return;
  event.preventDefault();
  drawing = null;
  paper.classList.add("keyed");
  update();
});
paper.addEventListener("keyup", (event) => held.delete(event.key));
paper.addEventListener("blur", () => {
  held.clear();
  if (!isDown) return;
  lowerPen(false);
  speak("Pen up.");
});

find("clear").addEventListener("click", clear);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" || event.key === "Delete") clear();
});
