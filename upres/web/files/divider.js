// The divider of img-comparison-slider with the keys of a slider, and its value for screen readers.
export function tellDivider(slider, words) {
  const value = Math.round(slider.value);
  slider.setAttribute("aria-valuenow", value);
  slider.setAttribute("aria-valuetext", words(value));
}

// words(percent): what a screen reader says of the divider's place.
export function startDivider(slider, words) {
  slider.addEventListener("slide", () => tellDivider(slider, words));
  slider.addEventListener("keydown", (event) => {
    const value = { Home: 0, End: 100, PageDown: slider.value - 10, PageUp: slider.value + 10 }[event.key];
    if (value === undefined) return;
    event.preventDefault();
    slider.value = Math.min(100, Math.max(0, value));
    tellDivider(slider, words);
  });
}
