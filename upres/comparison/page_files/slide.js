// The before/after slider: img-comparison-slider, with the keys and the words of a slider for screen readers.
function drawSlide() {
  show(byId("slide-first"), firstVersion());
  show(byId("slide-second"), secondVersion());
  byId("slide-left").textContent = nameOf(firstVersion());
  byId("slide-right").textContent = nameOf(secondVersion());
  byId("slider").setAttribute("aria-label", word("slideLabel", nameOf(firstVersion()), nameOf(secondVersion())));
  tellSlide();
}

function tellSlide() {
  const slider = byId("slider");
  const value = Math.round(slider.value);
  slider.setAttribute("aria-valuenow", value);
  slider.setAttribute("aria-valuetext", word("slideValue", value, nameOf(firstVersion()), nameOf(secondVersion())));
}

function startSlide() {
  const slider = byId("slider");
  slider.addEventListener("slide", tellSlide);
  slider.addEventListener("keydown", (event) => {
    const value = { Home: 0, End: 100, PageDown: slider.value - 10, PageUp: slider.value + 10 }[event.key];
    if (value === undefined) return;
    event.preventDefault();
    slider.value = Math.min(100, Math.max(0, value));
    tellSlide();
  });
}
