// The magnifier: every version at the same place and zoom. Where the pointer is in a box is where it looks in the picture.
const ZOOMS = [1, 2, 3, 4, 6, 8, 12, 16];

function drawMagnify() {
  const lenses = byId("lenses");
  lenses.setAttribute("aria-label", word("magnifyLabel"));
  lenses.replaceChildren(...picture().versions.map((version) => {
    const figure = element("figure");
    const figures = version.psnr === null ? "" : `  ${decimals(version.psnr, 2)} dB  ${decimals(version.ssim, 4)}`;
    const caption = element("figcaption");
    caption.append(element("b", nameOf(version)), element("span", figures, { class: "quiet" }));
    const lens = element("div", undefined, { class: "lens" });
    const image = element("img");
    show(image, version);
    lens.append(image);
    figure.append(caption, lens);
    return figure;
  }));
  moveMagnify();
}

// Keep the part inside the picture and place every image.
function moveMagnify() {
  const { width, height } = picture();
  for (const lens of byId("lenses").querySelectorAll(".lens")) {
    const box = lens.getBoundingClientRect();
    const wide = width * state.zoom, tall = height * state.zoom;
    const place = (share, room, size) => size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, room / 2 - share * size));
    const image = lens.firstChild;
    image.style.width = `${wide}px`;
    image.style.height = `${tall}px`;
    image.style.left = `${Math.round(place(state.x, box.width, wide))}px`;
    image.style.top = `${Math.round(place(state.y, box.height, tall))}px`;
  }
  byId("zoom").textContent = `${state.zoom * 100} %`;
  byId("zoom-in").disabled = state.zoom === ZOOMS.at(-1);
  byId("zoom-out").disabled = state.zoom === ZOOMS[0];
}

function lookAt(x, y) {
  state.x = Math.min(1, Math.max(0, x));
  state.y = Math.min(1, Math.max(0, y));
  moveMagnify();
}

function zoomBy(steps) {
  const index = Math.min(ZOOMS.length - 1, Math.max(0, ZOOMS.indexOf(state.zoom) + steps));
  state.zoom = ZOOMS[index];
  moveMagnify();
  tellMagnify();
}

function tellMagnify() {
  say(word("magnifyValue", state.zoom, Math.round(state.x * picture().width), Math.round(state.y * picture().height)));
}

function startMagnify() {
  const lenses = byId("lenses");
  const follow = (event) => {
    const lens = event.target.closest(".lens");
    if (lens === null) return;
    const box = lens.getBoundingClientRect();
    lookAt((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  lenses.addEventListener("pointermove", follow);
  lenses.addEventListener("pointerdown", follow);
  lenses.addEventListener("dragstart", (event) => event.preventDefault());
  lenses.addEventListener("keydown", (event) => {
    const step = 24 / state.zoom;
    const [x, y] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [0, 0];
    if (x !== 0 || y !== 0) {
      event.preventDefault();
      lookAt(state.x + x / picture().width, state.y + y / picture().height);
      tellMagnify();
    } else if (event.key === "+" || event.key === "=") zoomBy(1);
    else if (event.key === "-") zoomBy(-1);
  });
  byId("zoom-in").addEventListener("click", () => zoomBy(1));
  byId("zoom-out").addEventListener("click", () => zoomBy(-1));
  addEventListener("resize", () => { if (state.view === "magnify") moveMagnify(); });
}
