// Tabs, pictures, language, theme and keys; `draw` brings the whole page up to date.
const DRAW = { slide: drawSlide, magnify: drawMagnify, flicker: drawFlicker, difference: drawDifference };

function draw() {
  const root = document.documentElement;
  root.lang = state.language === "zh" ? "zh-CN" : "en";
  root.dataset.theme = state.theme;
  for (const one of document.querySelectorAll("[data-word]")) one.textContent = word(one.dataset.word);
  byId("title").textContent = data.title;
  byId("language").textContent = word("other");
  byId("language").lang = state.language === "zh" ? "en" : "zh-CN";
  byId("theme").textContent = word(state.theme === "dark" ? "light" : "dark");
  byId("footer").textContent = word("footer", data.version);
  for (const view of VIEWS) {
    const chosen = view === state.view;
    byId(`view-${view}`).hidden = !chosen;
    byId(`tab-${view}`).setAttribute("aria-selected", chosen);
    byId(`tab-${view}`).tabIndex = chosen ? 0 : -1;
  }
  byId("pair-bar").hidden = state.view === "magnify";
  byId("pair-bar").style.display = state.view === "magnify" ? "none" : "";
  byId("gain-value").textContent = `x${state.gain}`;
  drawPictures();
  drawPair();
  drawFigures();
  drawMapNote();
  drawKeys();
  DRAW[state.view]();
}

function drawPictures() {
  byId("picture").replaceChildren(...data.pictures.map((one, index) => {
    const option = element("option", one.name, { value: index });
    option.selected = index === state.picture;
    return option;
  }));
  byId("picture-bar").style.display = data.pictures.length > 1 ? "" : "none";
  for (const [id, off] of [["previous", state.picture === 0], ["next", state.picture === data.pictures.length - 1]]) {
    byId(id).disabled = off;
    byId(id).setAttribute("aria-label", word(id));
  }
  for (const [id, key] of [["zoom-in", "zoomIn"], ["zoom-out", "zoomOut"]]) byId(id).setAttribute("aria-label", word(key));
  // the stage: no larger than the picture, unless that is small, and all of it on the screen
  const { crop, whole, width, height } = picture();
  const room = `min(${Math.max(width, 480)}px, ${(85 * width / height).toFixed(2)}vh)`;
  for (const stage of document.querySelectorAll(".stage")) stage.style.maxWidth = room;
  byId("crop-note").hidden = crop === null;
  if (crop !== null) byId("crop-note").textContent = word("cropNote", crop[2], crop[3], crop[0], crop[1], whole[0], whole[1]);
}

// How far the maps of what was made up can be trusted.
function drawMapNote() {
  byId("map-note").hidden = data.maps.length === 0;
  byId("map-note").textContent = [word("mapNote"), ...data.maps.map(({ name, measured }) => {
    if (measured === null) return word("mapUnmeasured", name);
    const parts = Object.entries(measured).map(([recipe, value]) => `${value.toFixed(2)} (${word("recipes")[recipe] ?? recipe})`);
    return word("mapMeasured", name, parts.join(word("comma")));
  })].join(" ");
}

function drawKeys() {
  byId("keys").replaceChildren(...word("keyList").flatMap(([keys, meaning]) => {
    const term = element("dt");
    for (const key of keys.split(" ")) term.append(element("kbd", key), " ");
    return [term, element("dd", meaning)];
  }));
}

function choosePicture(index) {
  if (index < 0 || index >= data.pictures.length) return;
  state.picture = index;
  draw();
  say(picture().name);
}

function chooseView(view, focus = false) {
  state.view = view;
  draw();
  if (focus) byId(`tab-${view}`).focus();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input")) return;
  const key = event.key.toLowerCase();
  if (key === "[") choosePicture(state.picture - 1);
  else if (key === "]") choosePicture(state.picture + 1);
  else if (key === "s") swapPair();
  else if ("1234".includes(key) && key.length === 1) chooseView(VIEWS[Number(key) - 1]);
  else if (state.view === "flicker" && key === "a") showOne("first");
  else if (state.view === "flicker" && key === "b") showOne("second");
  else if (state.view === "flicker" && key === " " && event.target.closest("button") === null) {
    event.preventDefault();
    showOne(state.flicker === "first" ? "second" : "first");
  }
}

function start() {
  choosePair();
  for (const begin of [startPair, startSlide, startMagnify, startFlicker, startDifference]) begin();
  VIEWS.forEach((view, index) => {
    byId(`tab-${view}`).addEventListener("click", () => chooseView(view));
    byId(`tab-${view}`).addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step !== undefined) chooseView(VIEWS[(index + step + VIEWS.length) % VIEWS.length], true);
    });
  });
  byId("picture").addEventListener("change", (event) => choosePicture(Number(event.target.value)));
  byId("previous").addEventListener("click", () => choosePicture(state.picture - 1));
  byId("next").addEventListener("click", () => choosePicture(state.picture + 1));
  byId("language").addEventListener("click", () => { state.language = state.language === "zh" ? "en" : "zh"; draw(); });
  byId("theme").addEventListener("click", () => { state.theme = state.theme === "dark" ? "light" : "dark"; draw(); });
  document.addEventListener("keydown", onKey);
  draw();
}

start();
