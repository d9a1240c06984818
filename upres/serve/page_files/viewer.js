// One picture: before and after, its results, what upres sees in it.
import * as api from "./api.js";
import { startDivider, tellDivider } from "./divider.js";
import { button, byId, element, icon, say, setText } from "./dom.js";
import { Magnifier } from "./magnifier.js";
import { chooseModels } from "./models.js";
import { doneJobs, removeJob, start, summary, wantLook } from "./pictures.js";
import { problemNodes } from "./problems.js";
import { isActive, stateText } from "./queue.js";
import { modelTitle, reason, reportNodes } from "./report.js";
import { original, result } from "./show.js";
import { bytes, duration, has, pixels, word } from "./strings.js";

let picture = null;
let limits = null;
let view = "slide";
let left = null, right = null; // ids of jobs, "original", or null: as fits
let drawn = ""; // what the stage shows
let magnifier;

const titleOf = (job) => {
  const name = job.model?.name ?? job.request.model ?? "auto";
  return name === "auto" ? word("auto") : modelTitle(name, has);
};

// All that can be compared: { id, name, url, reduced, width, height, alt }.
function versions() {
  const before = original(picture);
  const done = doneJobs(picture);
  const names = done.map(titleOf);
  const made = done.map((job, index) => {
    const twice = names.filter((name) => name === names[index]).length > 1;
    const name = twice && job.size !== null ? `${names[index]}, ${pixels(job.size.width, job.size.height)}` : names[index];
    return { id: job.id, name, ...result(job), width: job.size?.width ?? 0, height: job.size?.height ?? 0, alt: word("altResult", picture.name, name) };
  });
  const first = { id: "original", name: word("original"), width: picture.width ?? 0, height: picture.height ?? 0, alt: word("altOriginal", picture.name) };
  return before === null ? made : [{ ...first, ...before }, ...made];
}

export function openPicture(one) {
  if (picture !== one) [left, right] = [null, null];
  picture = one;
  if (one !== null) wantLook(one);
  drawViewer(limits);
}

export const shownPicture = () => picture;

export function drawViewer(known) {
  limits = known;
  byId("viewer").hidden = picture === null;
  if (picture === null) return;
  setText(byId("viewer-title"), picture.name);
  byId("back").setAttribute("aria-label", word("back"));
  byId("back").title = word("back");
  const all = versions(), done = all.filter((one) => one.id !== "original");
  const comparing = done.length > 0 && all.length > 1;
  byId("compare").hidden = !comparing;
  byId("only").hidden = comparing;
  if (comparing) drawComparison(all, done);
  else drawOnly(all);
  drawResults();
  drawLook();
}

function drawComparison(all, done) {
  const ids = all.map((one) => one.id);
  const a = all[Math.max(0, ids.indexOf(left))], b = all.find((one) => one.id === right) ?? done.at(-1);
  for (const name of ["slide", "magnify"]) {
    byId(`view-${name}`).hidden = name !== view;
    byId(`tab-${name}`).setAttribute("aria-selected", name === view);
    byId(`tab-${name}`).tabIndex = name === view ? 0 : -1;
  }
  byId("tabs").setAttribute("aria-label", word("views"));
  byId("pair").hidden = view !== "slide";
  byId("zoom-bar").hidden = view !== "magnify";
  for (const [id, chosen, label] of [["first", a, "before"], ["second", b, "after"]]) {
    byId(id).replaceChildren(...all.map((one) => element("option", { value: one.id, selected: one === chosen ? "" : null }, one.name)));
    byId(id).setAttribute("aria-label", word(label));
  }
  for (const [id, key] of [["swap", "swap"], ["zoom-in", "zoomIn"], ["zoom-out", "zoomOut"]]) {
    byId(id).setAttribute("aria-label", word(key));
    byId(id).title = word(key);
  }
  const reduced = Math.max(0, ...(view === "slide" ? [a, b] : all).map((one) => one.reduced ?? 0));
  byId("reduced").hidden = reduced === 0;
  setText(byId("reduced"), word("reduced", reduced));
  const stage = JSON.stringify([view, picture.key, document.documentElement.lang, view === "slide" ? [a.url, b.url] : all.map((one) => one.url)]);
  if (stage === drawn) return;
  drawn = stage;
  const width = Math.max(...all.map((one) => one.width)), height = Math.max(...all.map((one) => one.height));
  if (view === "slide") drawSlide(a, b, width, height);
  else drawMagnifier(all, width, height);
}

function image(node, one) {
  node.alt = one.alt;
  if (node.getAttribute("src") !== one.url) node.src = one.url;
}

function drawSlide(a, b, width, height) {
  image(byId("slide-first"), a);
  image(byId("slide-second"), b);
  for (const node of [byId("slide-first"), byId("slide-second")]) Object.assign(node, { width, height });
  // all of it on the screen, and no larger than the result unless that is small
  document.querySelector("#view-slide .stage").style.maxWidth = `min(${Math.max(width, 480)}px, ${(72 * width / height).toFixed(1)}vh)`;
  setText(byId("slide-left"), a.name);
  setText(byId("slide-right"), b.name);
  byId("slider").setAttribute("aria-label", word("slideLabel", a.name, b.name));
  tellDivider(byId("slider"), slideValue);
}

function slideValue(value) { return word("slideValue", value, byId("slide-left").textContent, byId("slide-right").textContent); }

function drawMagnifier(all, width, height) {
  byId("lenses").setAttribute("aria-label", word("magnifyLabel"));
  magnifier.show(all.map((one) => {
    const node = element("img", { draggable: "false" });
    image(node, one);
    if (one.id === "original") node.className = "soft";
    return { image: node, caption: [element("b", {}, one.name), one.width ? element("span", { class: "quiet small" }, ` ${pixels(one.width, one.height)}`) : ""] };
  }), width, height);
}

function drawOnly(all) {
  const told = summary(picture), shown = byId("only-image"), one = all[0];
  byId("reduced").hidden = true;
  drawn = "";
  shown.hidden = one === undefined;
  if (one !== undefined) image(shown, one);
  const text = byId("only-text");
  text.dataset.state = told.state;
  if (told.state === "failed") text.replaceChildren(...problemNodes(told.error, limits));
  else setText(text, isActive(told.state) ? `${stateText(picture, told)}. ${word("notYet")}` : stateText(picture, told));
}

let resultsDrawn = "";
function drawResults() {
  const jobs = [...picture.jobs.values()];
  byId("results-section").hidden = jobs.length === 0;
  byId("more-models").textContent = word("tryMore");
  const now = JSON.stringify([document.documentElement.lang, picture.key, jobs.map((job) => [job.id, job.state, job.state === "running" ? job.progress : 0])]);
  if (now === resultsDrawn) return;
  resultsDrawn = now;
  const focus = byId("results").contains(document.activeElement) ? document.activeElement.id : null;
  byId("results").replaceChildren(...jobs.map(resultItem));
  if (focus) byId(focus)?.focus();
}

function resultItem(job) {
  const facts = job.state === "done" ? [
    job.size === null ? null : pixels(job.size.width, job.size.height), job.result.type.replace("image/", "").toUpperCase(),
    bytes(job.result.bytes), word("took", duration(job.result.seconds)),
  ] : job.state === "running" ? [word("running", Math.floor(job.progress * 100))] : [word(job.state)];
  const title = titleOf(job), name = job.model?.name ?? "";
  const removing = () => removeJob(picture, job);
  return element("li", { "data-state": job.state },
    element("div", { class: "grow" },
      element("strong", {}, title), name === "" || name === title ? null : element("code", { class: "quiet small" }, ` ${name}`),
      element("div", { class: "quiet small" }, facts.filter((fact) => fact !== null).join(" · ")),
      job.state === "done" && limits?.out && !job.result.saved_as ? element("div", { class: "wrong" }, element("strong", {}, word("notSaved", limits.out))) : null,
      job.result?.saved_as ? element("div", { class: "quiet small path" }, word("savedAs", job.result.saved_as)) : null,
      job.state === "failed" ? element("div", { class: "wrong" }, ...problemNodes(job.error, limits)) : null,
      job.notes?.length > 0 ? element("details", { class: "small" }, element("summary", {}, word("notes")), element("ul", { lang: "en" }, ...job.notes.map((one) => element("li", {}, one)))) : null),
    job.state === "done" ? element("a", { class: "button primary", id: `get-${job.id}`, href: api.downloadOf(job), download: "", "aria-label": `${word("download")}: ${title}` }, icon("down"), word("download")) : null,
    job.state === "done" && picture.jobs.size > 1 ? button(null, { image: "trash", label: word("removeNamed", title), id: `remove-${job.id}`, onclick: removing }) : null);
}

let lookDrawn = "";
function drawLook() {
  const { look, lookProblem, looking } = picture;
  const asked = [...picture.jobs.values()].map((job) => job.model?.name ?? job.request.model ?? "");
  const now = JSON.stringify([document.documentElement.lang, picture.key, look !== null, lookProblem?.code ?? null, looking, asked]);
  if (now === lookDrawn) return;
  lookDrawn = now;
  byId("look-section").hidden = look === null && lookProblem === null && !looking;
  byId("look").replaceChildren(...(look === null ? [] : reportNodes(look.report)));
  byId("look-actions").replaceChildren();
  if (look === null) {
    setText(byId("look-why"), looking ? word("looking") : word("seesNothing"));
    return;
  }
  const auto = [...picture.jobs.values()].find((job) => job.request.model === undefined && job.model?.reason);
  const { name, reason: why, other } = auto?.model ?? look.model; // as it was chosen for the size of then
  setText(byId("look-why"), word(asked.includes(name) ? "because" : "would", modelTitle(name, has), reason(why)));
  if (picture.jobs.size === 0) return;
  for (const one of [name, other].filter((model) => model && !asked.includes(model))) {
    const trying = () => start(picture, [one]);
    byId("look-actions").append(element("button", { type: "button", onclick: trying }, word("tryOther", modelTitle(one, has))));
  }
}

function chooseView(name, focus) {
  view = name;
  drawn = "";
  drawViewer(limits);
  if (focus) byId(`tab-${name}`).focus();
}

export function startViewer() {
  const tell = (zoom, x, y) => say(word("magnifyValue", zoom, x, y));
  const [lenses, zoomIn, zoomOut, zoomText] = ["lenses", "zoom-in", "zoom-out", "zoom"].map(byId);
  magnifier = new Magnifier({ lenses, zoomIn, zoomOut, zoomText, tell, zoom: 2 });
  startDivider(byId("slider"), slideValue);
  for (const [name, another] of [["slide", "magnify"], ["magnify", "slide"]]) {
    byId(`tab-${name}`).addEventListener("click", () => chooseView(name, false));
    byId(`tab-${name}`).addEventListener("keydown", (event) => { if (["ArrowLeft", "ArrowRight"].includes(event.key)) chooseView(another, true); });
  }
  byId("first").addEventListener("change", (event) => { left = event.target.value; drawViewer(limits); });
  byId("second").addEventListener("change", (event) => { right = event.target.value; drawViewer(limits); });
  byId("swap").addEventListener("click", () => {
    [left, right] = [byId("second").value, byId("first").value];
    drawViewer(limits);
  });
  for (const id of ["slide-first", "slide-second", "only-image"]) {
    byId(id).addEventListener("error", () => {
      byId("reduced").hidden = false;
      setText(byId("reduced"), word("cannotShow"));
    });
  }
  byId("more-models").addEventListener("click", async () => {
    const chosen = await chooseModels([]);
    if (chosen !== null) start(picture, chosen);
  });
}
