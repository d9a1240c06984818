// The list of pictures: each with its state, its progress and what can be done with it.
import * as api from "./api.js";
import { button, byId, element, icon, setText } from "./dom.js";
import { activeJobs, cancel, doneJobs, pictures, remove, retry, summary } from "./pictures.js";
import { problemNodes } from "./problems.js";
import { factorFor } from "./settings.js";
import { thumbnail } from "./show.js";
import { bytes, duration, pixels, word } from "./strings.js";

const items = new Map(); // element and its parts by the key of the picture
export const isActive = (state) => ["unsent", "sending", "queued", "running"].includes(state);

// One line under the name.
export function stateText(picture, told = summary(picture)) {
  const left = told.left === null || told.left === undefined ? null : word("left", duration(told.left));
  const dots = (...parts) => parts.filter((part) => part !== null).join(" · ");
  switch (told.state) {
    case "waiting": return picture.looking ? word("looking") : dots(sizes(picture) ?? word("waiting"), picture.seconds === null ? null : word("about", duration(picture.seconds)));
    case "unsent": return word("unsent");
    case "sending": return word("sending");
    case "queued": return dots(told.job.attempt > 1 ? word("retrying") : told.job.place === 0 ? word("nextUp") : told.job.place === null ? word("queued") : word("place", told.job.place), left);
    case "running": return dots(word("running", Math.floor(told.progress * 100)), left);
    case "done": return doneText(picture);
    default: return word(told.state);
  }
}

function sizes(picture) {
  const factor = factorFor(picture.width, picture.height);
  if (!picture.width || factor === null) return null;
  const side = (px) => Math.max(1, Math.round(px * factor));
  return `${pixels(picture.width, picture.height)} → ${pixels(side(picture.width), side(picture.height))}`;
}

function doneText(picture) {
  const done = doneJobs(picture);
  if (done.length > 1) return `${word("done")} · ${word("result", done.length)}`;
  const { size, result } = done[0];
  return [word("done"), size === null ? null : pixels(size.width, size.height), result === null ? null : bytes(result.bytes)].filter(Boolean).join(" · ");
}

function make(picture, open) {
  const parts = {
    thumb: element("span", { class: "thumb" }), name: element("span", { class: "name" }), state: element("span", { class: "state quiet" }),
    bar: element("progress", { max: 1 }), wrong: element("div", { class: "wrong" }), actions: element("div", { class: "actions" }),
  };
  parts.open = element("button", { type: "button", class: "open", onclick: () => open(picture) },
    parts.thumb, element("span", { class: "what" }, parts.name, parts.state));
  parts.root = element("li", { class: "item" }, parts.open, parts.actions, parts.bar, parts.wrong);
  return parts;
}

function drawThumbnail(picture, box) {
  const url = thumbnail(picture);
  if (box.dataset.url === String(url)) return;
  box.dataset.url = String(url);
  const blank = () => box.replaceChildren(icon("picture"));
  if (url === null) blank();
  else box.replaceChildren(element("img", { src: url, alt: "", loading: "lazy", onerror: blank }));
}

function actionsOf(picture, told) {
  const named = (key, image, act) => [key, button(null, { image, label: word(key, picture.name), onclick: act })];
  if (isActive(told.state)) return [named("cancelNamed", "close", () => cancel(picture))];
  const again = ["failed", "canceled"].includes(told.state) && picture.problem === null;
  const done = doneJobs(picture);
  return [
    again ? named("retryNamed", "again", () => retry(picture)) : null,
    done.length === 1 ? ["downloadNamed", element("a", { class: "button bare", href: api.downloadOf(done[0]), download: "", title: word("downloadNamed", picture.name), "aria-label": word("downloadNamed", picture.name) }, icon("down"))] : null,
    named("removeNamed", "trash", () => askRemove(picture)),
  ].filter((one) => one !== null);
}

let ask; // of main.js
async function askRemove(picture) {
  if (doneJobs(picture).length === 0 || await ask(word("askRemove", picture.name), word("askRemoveText"), word("yesRemove"))) {
    await remove(picture);
    byId("pictures").focus({ preventScroll: true }); // else it would be lost with the button
  }
}

function draw(picture, parts, { selected, limits }) {
  const told = summary(picture), active = isActive(told.state);
  parts.root.dataset.state = told.state;
  setText(parts.name, picture.name);
  setText(parts.state, stateText(picture, told));
  parts.open.setAttribute("aria-current", selected === picture);
  drawThumbnail(picture, parts.thumb);
  parts.bar.hidden = !active;
  if (active) {
    if (told.state === "running" || told.progress > 0) parts.bar.value = told.progress;
    else parts.bar.removeAttribute("value");
    parts.bar.setAttribute("aria-label", picture.name);
  }
  const wrong = told.state === "failed" ? problemNodes(told.error, limits) : [];
  const words = wrong.map((node) => node.textContent).join();
  if (parts.wrong.dataset.words !== words) parts.wrong.replaceChildren(...wrong);
  parts.wrong.dataset.words = words;
  const actions = actionsOf(picture, told);
  const kinds = [document.documentElement.lang, picture.name, ...actions.map(([key]) => key), doneJobs(picture).map((job) => job.id)].join();
  if (parts.actions.dataset.kinds !== kinds) { // else the focus would be lost with every progress
    const focused = parts.actions.contains(document.activeElement);
    parts.actions.replaceChildren(...actions.map(([, node]) => node));
    if (focused) parts.actions.firstChild?.focus();
  }
  parts.actions.dataset.kinds = kinds;
}

export function startQueue(asking) { ask = asking; }

// picture: the only one that has changed, or null.
export function drawQueue(picture, { open, selected, limits }) {
  const list = byId("list");
  if (picture !== null && items.has(picture.key) && pictures.has(picture.key)) {
    draw(picture, items.get(picture.key), { selected, limits });
    return;
  }
  for (const [key, parts] of [...items]) {
    if (!pictures.has(key)) {
      parts.root.remove();
      items.delete(key);
    }
  }
  const ordered = [...pictures.values()].sort((a, b) => b.added - a.added); // the newest first
  ordered.forEach((one, index) => {
    if (!items.has(one.key)) items.set(one.key, make(one, open));
    const parts = items.get(one.key);
    if (list.children[index] !== parts.root) list.insertBefore(parts.root, list.children[index] ?? null);
    draw(one, parts, { selected, limits });
  });
}

export const anyActive = () => [...pictures.values()].filter((picture) => activeJobs(picture).length > 0);
