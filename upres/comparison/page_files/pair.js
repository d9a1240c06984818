// The two versions A and B that slider, flicker and difference compare.
function firstVersion() { return picture().versions[state.first]; }
function secondVersion() { return picture().versions[state.second]; }

// At first: bicubic against the last model.
function choosePair() {
  const kinds = picture().versions.map((version) => version.kind);
  state.first = kinds.indexOf("bicubic");
  state.second = kinds.lastIndexOf("model");
}

function drawPair() {
  for (const [id, chosen] of [["first", state.first], ["second", state.second]]) {
    byId(id).replaceChildren(...picture().versions.map((version, index) => {
      const option = element("option", nameOf(version), { value: index });
      option.selected = index === chosen;
      return option;
    }));
  }
  byId("swap").setAttribute("aria-label", word("swap"));
  byId("swap").title = word("swap");
}

function swapPair() {
  [state.first, state.second] = [state.second, state.first];
  draw();
}

function startPair() {
  for (const id of ["first", "second"]) {
    byId(id).addEventListener("change", (event) => {
      state[id] = Number(event.target.value);
      draw();
    });
  }
  byId("swap").addEventListener("click", swapPair);
}
