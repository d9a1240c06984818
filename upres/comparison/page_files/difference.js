// The difference view: |A - B| times the gain, channel by channel, with its mean and its largest value.
let differenceDrawn = 0;

async function levelsOf(version) {
  const image = new Image();
  image.src = source(version);
  await image.decode();
  const { width, height } = picture();
  const canvas = element("canvas", undefined, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

async function drawDifference() {
  const turn = ++differenceDrawn; // a later choice may be drawn before this one is decoded
  const [a, b] = await Promise.all([levelsOf(firstVersion()), levelsOf(secondVersion())]);
  if (turn !== differenceDrawn) return;
  const canvas = byId("canvas");
  const { width, height } = picture();
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const result = context.createImageData(width, height);
  let sum = 0, most = 0;
  for (let i = 0; i < a.length; i++) {
    if (i % 4 === 3) {
      result.data[i] = 255;
      continue;
    }
    const apart = Math.abs(a[i] - b[i]);
    sum += apart;
    most = Math.max(most, apart);
    result.data[i] = apart * state.gain; // clamped by the array
  }
  context.putImageData(result, 0, 0);
  canvas.setAttribute("aria-label", word("differenceAlt", nameOf(firstVersion()), nameOf(secondVersion())));
  const text = word("differenceText", state.gain, (sum / (width * height * 3)).toFixed(2), most);
  byId("difference-text").textContent = text;
  if (state.view === "difference") say(text);
}

function startDifference() {
  byId("gain").addEventListener("input", (event) => {
    state.gain = Number(event.target.value);
    draw();
  });
}
