// The before/after slider.
function drawSlide() {
  show(byId("slide-first"), firstVersion());
  show(byId("slide-second"), secondVersion());
  byId("slide-left").textContent = nameOf(firstVersion());
  byId("slide-right").textContent = nameOf(secondVersion());
  byId("slider").setAttribute("aria-label", word("slideLabel", nameOf(firstVersion()), nameOf(secondVersion())));
  tellDivider(byId("slider"), slideValue);
}

function slideValue(value) { return word("slideValue", value, nameOf(firstVersion()), nameOf(secondVersion())); }

function startSlide() { startDivider(byId("slider"), slideValue); }
