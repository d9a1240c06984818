// One video whose columns are the versions: the canvases of the slider show two of them, of the same frame always.
const data = JSON.parse(document.getElementById("data").textContent);
const state = {
  language: /^zh\b/i.test(navigator.language) ? "zh" : "en",
  theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
  first: 0, second: data.names.length - 1, frame: 0, zoom: 0,
};
const byId = (id) => document.getElementById(id);
const video = byId("video");

function nameOf(index) { return index === 0 && data.bicubic ? word("bicubic") : data.names[index]; }

function say(text) { byId("status").textContent = text; }

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// The number of the frame shown at a time. Half a microsecond: times are rounded to one.
function frameAt(time) {
  let low = 0, high = data.times.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (data.times[middle] <= time + 1e-6) low = middle; else high = middle - 1;
  }
  return low;
}

function paint(time) {
  const unit = video.videoWidth / data.whole;  // a video of pixels that are not square is wider than it is stored
  for (const [id, column] of [["canvas-first", state.first], ["canvas-second", state.second]]) {
    const canvas = byId(id);
    if (canvas.width !== data.width || canvas.height !== data.height) {
      canvas.width = data.width;
      canvas.height = data.height;
    }
    const tall = video.videoHeight * data.height / data.wholeHeight;
    canvas.getContext("2d").drawImage(video, column * (data.width + data.gap) * unit, 0, data.width * unit, tall,
      0, 0, data.width, data.height);
  }
  state.frame = frameAt(time);
  byId("seek").value = state.frame;
  tellTime();
}

function tellTime() {
  const text = word("time", data.times[state.frame].toFixed(3), state.frame + 1, data.times.length);
  byId("time").textContent = text;
  byId("seek").setAttribute("aria-valuetext", text);
  for (const [id, column] of [["canvas-first", state.first], ["canvas-second", state.second]]) {
    byId(id).setAttribute("aria-label", word("alt", nameOf(column), state.frame + 1));
  }
}

function draw() {
  document.documentElement.lang = state.language;
  document.documentElement.dataset.theme = state.theme;
  for (const one of document.querySelectorAll("[data-word]")) one.textContent = word(one.dataset.word);
  byId("title").textContent = data.title;
  byId("language").textContent = word("other");
  byId("theme").textContent = word(state.theme === "dark" ? "light" : "dark");
  byId("footer").textContent = word("footer", data.version);
  for (const id of ["swap", "back", "forward", "seek"]) byId(id).setAttribute("aria-label", word(id));
  byId("play").textContent = word(video.paused ? "play" : "pause");
  for (const side of ["first", "second"]) {
    byId(side).replaceChildren(...data.names.map((_, index) => {
      const option = element("option", nameOf(index), { value: index });
      option.selected = index === state[side];
      return option;
    }));
  }
  byId("left").textContent = nameOf(state.first);
  byId("right").textContent = nameOf(state.second);
  byId("slider").setAttribute("aria-label", word("slideLabel", nameOf(state.first), nameOf(state.second)));
  tellDivider(byId("slider"), slideValue);
  byId("keys").replaceChildren(...word("keyList").flatMap(([keys, meaning]) => {
    const term = element("dt", "");
    for (const key of keys.split(" ")) term.append(element("kbd", key), " ");
    return [term, element("dd", meaning)];
  }));
  drawSize();
  if (video.readyState >= 2) paint(video.currentTime); else tellTime();
}

function drawSize() {
  const aspect = video.videoWidth ? data.width * video.videoWidth / data.whole / (data.height * video.videoHeight / data.wholeHeight) : data.width / data.height;
  byId("stage").classList.toggle("zoomed", state.zoom > 0);
  byId("stage").style.maxWidth = state.zoom ? "100%" : `min(${Math.max(data.width, 480)}px, ${(75 * aspect).toFixed(2)}vh)`;
  for (const id of ["slider", "canvas-first", "canvas-second"]) {
    byId(id).style.width = state.zoom ? `${data.height * aspect * state.zoom / devicePixelRatio}px` : "";
  }
  for (const id of ["canvas-first", "canvas-second"]) byId(id).style.aspectRatio = String(aspect);
  byId("zoom").value = String(state.zoom);
}

function slideValue(value) { return word("slideValue", value, nameOf(state.first), nameOf(state.second)); }

function toggle() {
  if (!video.paused) video.pause();
  else {
    if (video.ended || state.frame === data.times.length - 1) video.currentTime = 0;
    video.play();
  }
}

// The middle of the time of a frame: players round times to their own units.
function show(frame) {
  const last = data.times.length - 1;
  const wanted = Math.min(last, Math.max(0, frame));
  const end = wanted < last ? data.times[wanted + 1] : video.duration;
  video.pause();
  video.currentTime = (data.times[wanted] + Math.max(data.times[wanted], end)) / 2;
}

function swap() {
  [state.first, state.second] = [state.second, state.first];
  draw();
  say(slideValue(Math.round(byId("slider").value)));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
  const key = event.key.toLowerCase();
  const seeking = { ",": state.frame - 1, ".": state.frame + 1, j: frameAt(data.times[state.frame] - 1),
    l: frameAt(data.times[state.frame] + 1) }[key];
  if (seeking !== undefined) show(seeking);
  else if (key === "s") swap();
  else if (key === "z") { state.zoom = (state.zoom + 1) % 3; draw(); }
  else if (key === "k" || (key === " " && event.target.closest("button, summary") === null)) toggle();
  else return;
  event.preventDefault();
}

// While it plays, each frame is painted as it comes.
function follow() {
  if (video.requestVideoFrameCallback) {
    video.requestVideoFrameCallback((_, frame) => { paint(frame.mediaTime); follow(); });
  } else {
    requestAnimationFrame(() => { if (!video.paused) paint(video.currentTime); follow(); });
  }
}

function open() {
  if (data.file) {
    video.src = data.file;
    return;
  }
  const text = atob(byId("bytes").textContent);
  const bytes = Uint8Array.from(text, (one) => one.charCodeAt(0));
  video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
}

function start() {
  byId("seek").max = data.times.length - 1;
  startDivider(byId("slider"), slideValue);
  for (const side of ["first", "second"]) {
    byId(side).addEventListener("change", (event) => { state[side] = Number(event.target.value); draw(); });
  }
  byId("swap").addEventListener("click", swap);
  byId("play").addEventListener("click", toggle);
  byId("back").addEventListener("click", () => show(state.frame - 1));
  byId("forward").addEventListener("click", () => show(state.frame + 1));
  byId("seek").addEventListener("input", (event) => show(Number(event.target.value)));
  byId("speed").addEventListener("change", (event) => { video.playbackRate = Number(event.target.value); });
  byId("zoom").addEventListener("change", (event) => { state.zoom = Number(event.target.value); draw(); });
  byId("language").addEventListener("click", () => { state.language = state.language === "zh" ? "en" : "zh"; draw(); });
  byId("theme").addEventListener("click", () => { state.theme = state.theme === "dark" ? "light" : "dark"; draw(); });
  for (const event of ["play", "pause", "ended", "loadedmetadata"]) video.addEventListener(event, draw);
  for (const event of ["loadeddata", "seeked"]) video.addEventListener(event, () => paint(video.currentTime));
  video.addEventListener("error", () => {
    byId("missing").hidden = false;
    byId("missing").textContent = word("missing", data.file && video.error.code !== 3 ? word("lost", data.file) : word("unsupported"));
  });
  document.addEventListener("keydown", onKey);
  open();
  follow();
  draw();
}

start();
