// The flicker view: A and B at the same place, one at a time. Nothing flickers by itself.
function drawFlicker() {
  show(byId("flicker-first"), firstVersion());
  show(byId("flicker-second"), secondVersion());
  showOne(state.flicker);
}

function showOne(which) {
  state.flicker = which;
  const first = which === "first";
  byId("flicker-first").hidden = !first;
  byId("flicker-second").hidden = first;
  byId("show-first").setAttribute("aria-pressed", first);
  byId("show-second").setAttribute("aria-pressed", !first);
  const text = word("showing", first ? "A" : "B", nameOf(first ? firstVersion() : secondVersion()));
  byId("shown").textContent = text;
  if (state.view === "flicker") say(text);
}

function startFlicker() {
  byId("show-first").addEventListener("click", () => showOne("first"));
  byId("show-second").addEventListener("click", () => showOne("second"));
  byId("flicker-stage").addEventListener("click", () => showOne(state.flicker === "first" ? "second" : "first"));
}
