// The magnifier view: all versions beside each other.
let magnifier;

function drawMagnify() {
  byId("lenses").setAttribute("aria-label", word("magnifyLabel"));
  const versions = picture().versions.map((version) => {
    const figures = version.psnr === null ? "" : `  ${decimals(version.psnr, 2)} dB  ${decimals(version.ssim, 4)}`;
    const image = element("img");
    show(image, version);
    return { image, caption: [element("b", nameOf(version)), element("span", figures, { class: "quiet" })] };
  });
  magnifier.show(versions, picture().width, picture().height);
}

function startMagnify() {
  const tell = (zoom, x, y) => say(word("magnifyValue", zoom, x, y));
  const [lenses, zoomIn, zoomOut, zoomText] = ["lenses", "zoom-in", "zoom-out", "zoom"].map(byId);
  magnifier = new Magnifier({ lenses, zoomIn, zoomOut, zoomText, tell });
}
