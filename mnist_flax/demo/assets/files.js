
// A picture that is given: by the button, dropped on the page or pasted.

/** Reads a picture file, and shows it on the paper instead of a drawing. */
async function take(file) {
  strokes = [];
  const mine = { refusal: "Reading the picture." };
  given = mine;
  update();
  // Lets the page show that before it is busy.
  await new Promise((done) => setTimeout(done, 30));
  let found;
  try {
    found = await readPicture(file);
  } catch (error) {
    if (!(error instanceof PictureError)) throw error;
    found = { refusal: error.message };
  }
  // Meanwhile another picture may have been given, or drawing begun.
  if (given !== mine) return;
  given = found;
  update();
  speak();
}

/** Reads a picture file: what the page shows of it; throws a PictureError. */
async function readPicture(file) {
  const { gray, margin, shown } = await decode(file);
  const digit = readGray(gray);
  if (!digit) return { shown, refusal: "Nothing stands out in this picture. Give one of a digit." };
  const { pixels, warning } = digit;
  const [top, left, bottom, right] = ["top", "left", "bottom", "right"].map(
    (side) => digit[side] - margin,
  );
  return { shown, pixels, warning, box: { top, left, bottom, right } };
}

/** Takes the one file of a list. */
function takeOnly(files) {
  if (files.length === 1) {
    take(files[0]);
    return;
  }
  given = { refusal: files.length ? "Give one picture at a time." : "That is no picture file." };
  strokes = [];
  update();
  speak();
}

find("open").addEventListener("click", () => find("file").click());
find("file").addEventListener("change", (event) => {
  if (event.target.files.length) takeOnly([...event.target.files]);
  // So that the same file can be chosen again.
  event.target.value = "";
});
document.addEventListener("paste", (event) => {
  const { files } = event.clipboardData;
  if (files.length) takeOnly([...files]);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  // Between the elements of the page it only changes from one to another.
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  takeOnly([...event.dataTransfer.files]);
});
