// The magnifier: every version of a picture at the same place and zoom. Where the pointer is in a box is where it looks in the picture.
const ZOOMS = [1, 2, 3, 4, 6, 8, 12, 16];

export class Magnifier {
  // lenses: the element that holds the boxes and has the keyboard. zoomIn, zoomOut: buttons; zoomText: shows the zoom.
  // tell(zoom, x, y): says where it looks, in pixels of the picture.
  constructor({ lenses, zoomIn, zoomOut, zoomText, tell, zoom = 4 }) {
    Object.assign(this, { lenses, zoomIn, zoomOut, zoomText, tell, zoom, x: 0.5, y: 0.5, width: 1, height: 1 });
    const follow = (event) => {
      const lens = event.target.closest(".lens");
      if (lens === null) return;
      const box = lens.getBoundingClientRect();
      this.lookAt((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    };
    lenses.addEventListener("pointermove", follow);
    lenses.addEventListener("pointerdown", follow);
    lenses.addEventListener("dragstart", (event) => event.preventDefault());
    lenses.addEventListener("keydown", (event) => this.onKey(event));
    zoomIn.addEventListener("click", () => this.zoomBy(1));
    zoomOut.addEventListener("click", () => this.zoomBy(-1));
    addEventListener("resize", () => this.place());
  }

  // versions: each with `caption`, nodes or texts, and `image`, an <img>; all are shown at width x height pixels times the zoom.
  show(versions, width, height) {
    Object.assign(this, { width, height });
    this.lenses.replaceChildren(...versions.map(({ caption, image }) => {
      const [figure, words, lens] = ["figure", "figcaption", "div"].map((name) => document.createElement(name));
      words.append(...caption);
      lens.className = "lens";
      lens.append(image);
      figure.append(words, lens);
      return figure;
    }));
    this.place();
  }

  // Keep the part inside the picture and place every image.
  place() {
    for (const lens of this.lenses.querySelectorAll(".lens")) {
      const box = lens.getBoundingClientRect();
      const wide = this.width * this.zoom, tall = this.height * this.zoom;
      const place = (share, room, size) =>
        size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, room / 2 - share * size));
      const image = lens.firstChild;
      image.style.width = `${wide}px`;
      image.style.height = `${tall}px`;
      image.style.left = `${Math.round(place(this.x, box.width, wide))}px`;
      image.style.top = `${Math.round(place(this.y, box.height, tall))}px`;
    }
    this.zoomText.textContent = `${this.zoom * 100} %`;
    this.zoomIn.disabled = this.zoom === ZOOMS.at(-1);
    this.zoomOut.disabled = this.zoom === ZOOMS[0];
  }

  lookAt(x, y) {
    this.x = Math.min(1, Math.max(0, x));
    this.y = Math.min(1, Math.max(0, y));
    this.place();
  }

  zoomBy(steps) {
    const index = Math.min(ZOOMS.length - 1, Math.max(0, ZOOMS.indexOf(this.zoom) + steps));
    this.zoom = ZOOMS[index];
    this.place();
    this.say();
  }

  say() { this.tell(this.zoom, Math.round(this.x * this.width), Math.round(this.y * this.height)); }

  onKey(event) {
    const step = 24 / this.zoom;
    const [x, y] =
      { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [0, 0];
    if (x !== 0 || y !== 0) {
      event.preventDefault();
      this.lookAt(this.x + x / this.width, this.y + y / this.height);
      this.say();
    } else if (event.key === "+" || event.key === "=") this.zoomBy(1);
    else if (event.key === "-") this.zoomBy(-1);
  }
}
