// The page: brings the parts together, and draws what has changed.
import * as api from "./api.js";
import { ask, button, byId, icon, note, say, setText } from "./dom.js";
import { startDrop } from "./drop.js";
import { followJobs } from "./events.js";
import { recall } from "./kept.js";
import { startModels } from "./models.js";
import { drawOptions, optionsAreRight, startOptions } from "./options.js";
import {
  add, cancel, doneJobs, earlier, estimate, gone, hasEarlier, newKey, onChange, pictures, remove, renew, start, take, waiting, wantLook,
} from "./pictures.js";
import { problemText } from "./problems.js";
import { anyActive, drawQueue, startQueue } from "./queue.js";
import { keep, language, settings, theme } from "./settings.js";
import { measure } from "./show.js";
import { bytes, duration, languageTag, number, setLanguage, word } from "./strings.js";
import { drawViewer, openPicture, shownPicture, startViewer } from "./viewer.js";
import { MOST_BYTES, zip } from "./zip.js";

let limits = null;
const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

// ---- drawing ----

function drawWords() {
  setLanguage(language());
  const root = document.documentElement;
  root.lang = languageTag();
  root.dataset.theme = theme();
  document.title = word("appTitle");
  for (const one of document.querySelectorAll("[data-word]")) setText(one, word(one.dataset.word));
  setText(byId("or-paste"), word("orPaste", pasteKeys()));
  setText(byId("language"), word("other"));
  byId("language").lang = language() === "zh" ? "en" : "zh-CN";
  const dark = theme() === "dark";
  byId("theme").replaceChildren(icon(dark ? "sun" : "moon"));
  byId("theme").setAttribute("aria-label", word(dark ? "lightTheme" : "darkTheme"));
  byId("theme").title = word(dark ? "lightTheme" : "darkTheme");
  byId("drop").setAttribute("aria-label", word("add"));
  byId("note-close").setAttribute("aria-label", word("dismiss"));
  setText(byId("hero-title"), word(matchMedia("(pointer: coarse)").matches ? "heroTitleTouch" : "heroTitle"));
  setText(byId("hero-text"), word(local ? "heroText" : "heroTextServer"));
  if (limits !== null) setText(byId("how-much"), word("howMuch", bytes(limits.max_bytes), number(limits.max_pixels_in / 1e6)));
  byId("saved-to").hidden = !limits?.out;
  if (limits?.out) setText(byId("saved-to"), word("savedTo", limits.out));
  setText(byId("offline"), `${word("offline")} ${word("ended")}`);
  drawOptions(limits?.formats ?? [settings.format]);
  drawAll();
}

const pasteKeys = () => /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘V" : "Ctrl+V";

function drawAll(picture = null) {
  drawQueue(picture, { open, selected: shownPicture(), limits });
  if (picture === null || picture === shownPicture()) {
    if (shownPicture() !== null && !pictures.has(shownPicture().key)) openPicture(null);
    drawViewer(limits);
  }
  drawBar();
}

// At most once a frame, however much has changed.
const stale = new Set();
let asked = false;
function drawSoon(picture) {
  stale.add(picture);
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const one = stale.size === 1 ? [...stale][0] : null;
    stale.clear();
    drawAll(one);
  });
}

function drawBar() {
  const filled = pictures.size > 0;
  document.body.dataset.filled = filled;
  if (!filled) document.body.dataset.view = "list";
  setText(byId("choose").lastElementChild, word(filled ? "add" : "choose"));
  const ready = waiting(), models = settings.models.length;
  byId("bar").hidden = ready.length === 0;
  setText(byId("start"), models > 1 ? word("startTimes", ready.length, models) : word("start", ready.length));
  byId("start").disabled = !optionsAreRight();
  const known = ready.map((one) => one.seconds);
  setText(byId("total"), known.some((one) => one === null) ? word("unknownTime") : word("about", duration(known.reduce((sum, one) => sum + one, 0))));
  const actions = { "cancel-all": anyActive().length > 1, "download-all": done().length > 1, clear: pictures.size > 1 && anyActive().length === 0 };
  for (const [id, shown] of Object.entries(actions)) byId(id).hidden = !shown;
  byId("earlier").hidden = !hasEarlier();
  for (const [id, key] of [["cancel-all", "cancelAll"], ["download-all", "downloadAll"], ["clear", "clear"], ["earlier", "earlier"]]) {
    if (byId(id).dataset.busy !== "true") setText(byId(id), word(key));
  }
}

const done = () => [...pictures.values()].flatMap(doneJobs);

function open(picture) {
  openPicture(picture);
  document.body.dataset.view = "one";
  drawAll();
  if (matchMedia("(max-width: 899px)").matches) {
    byId("viewer-title").focus();
    scrollTo(0, 0);
  }
}

// ---- what people do ----

function takeFiles(files, skipped) {
  if (skipped > 0) note(word("skipped", skipped));
  if (files.length === 0) return;
  const now = Date.now();
  const added = files.map((file, index) => add(file, file.name, limits, newKey(now - index))); // the first on top
  for (const picture of added) begin(picture);
  say(word("addedPictures", added.length));
  if (shownPicture() === null) {
    openPicture(added[0]);
    drawAll();
  }
}

// What is told of a picture before it is enlarged.
async function begin(picture) {
  await measure(picture);
  if (picture.problem !== null) return;
  if (local || picture.width === null || picture === shownPicture()) wantLook(picture);
  estimate(picture);
}

const asleep = ["offline", "unauthorized", "queue_full", "draining", "no_worker"];

async function saveAll() {
  const jobs = done(), into = byId("download-all");
  if (jobs.reduce((sum, job) => sum + job.result.bytes, 0) > MOST_BYTES) {
    note(word("tooLargeZip"));
    return;
  }
  into.dataset.busy = into.disabled = true;
  const files = [];
  try {
    for (const job of jobs) {
      setText(into, word("preparing", files.length + 1, jobs.length));
      const blob = await (await api.fetchResult(job)).blob().catch(() => { throw new api.Problem("offline"); });
      files.push({ name: job.result.name, blob });
    }
    const url = URL.createObjectURL(await zip(files));
    Object.assign(document.createElement("a"), { href: url, download: "upres.zip" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    note(word("zipFailed", jobs[files.length].name));
  } finally {
    into.dataset.busy = into.disabled = false;
    drawBar();
  }
}

// What somebody asked for and the server refuses, or cannot be asked for, is told.
addEventListener("unhandledrejection", (event) => {
  if (!(event.reason instanceof api.Problem)) return;
  event.preventDefault();
  const { what, remedy } = problemText(event.reason, limits);
  note(event.reason.code === "offline" ? word("offline") : `${what} ${remedy}`);
});

function startButtons() {
  byId("start").addEventListener("click", () => {
    const ready = waiting().sort((a, b) => b.added - a.added); // from the top
    for (const picture of ready) start(picture);
    if (ready.length > 0 && shownPicture() === null) openPicture(ready[0]);
    byId("pictures").focus({ preventScroll: true });
  });
  byId("cancel-all").addEventListener("click", async () => {
    for (const picture of anyActive().reverse()) await cancel(picture); // the last first, so that none begins in between
  });
  byId("download-all").addEventListener("click", saveAll);
  byId("clear").addEventListener("click", async () => {
    if (!await ask(word("askClear"), word("askClearText", pictures.size), word("yesClear"))) return;
    for (const picture of [...pictures.values()]) await remove(picture);
  });
  byId("earlier").addEventListener("click", earlier);
  byId("back").addEventListener("click", () => {
    const was = shownPicture();
    document.body.dataset.view = "list";
    document.querySelector("#list [aria-current=true]")?.focus();
    if (was !== null) drawAll(was);
  });
  byId("language").addEventListener("click", () => { keep({ language: language() === "zh" ? "en" : "zh" }); drawWords(); });
  byId("theme").addEventListener("click", () => { keep({ theme: theme() === "dark" ? "light" : "dark" }); drawWords(); });
  byId("note-close").addEventListener("click", () => { byId("note").hidden = true; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawWords);
}

// ---- the way in ----

// The token of the address, which works once, or one that is typed.
async function enter() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) {
    history.replaceState(null, "", location.pathname);
    await api.enter(given).catch((error) => { if (error.code !== "unauthorized") throw error; });
  }
  if ((await api.session()).authenticated) return;
  if (given !== null) setText(byId("enter-text"), word("usedUp"));
  const dialog = byId("enter");
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  for (;;) {
    dialog.showModal();
    await new Promise((resolve) => { dialog.addEventListener("close", resolve, { once: true }); });
    try {
      await api.enter(byId("token").value.trim());
      return;
    } catch (error) {
      if (error.code !== "unauthorized") throw error;
      setText(byId("enter-wrong"), word("tokenWrong"));
    }
  }
}

async function reach(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof api.Problem) || !asleep.includes(error.code)) throw error;
      byId("offline").hidden = false;
      await new Promise((resolve) => { setTimeout(resolve, 1500); });
    }
  }
}

async function begins() {
  startQueue(ask);
  startModels();
  startViewer();
  startButtons();
  startOptions(() => {
    drawWords();
    if (shownPicture() !== null) wantLook(shownPicture());
    for (const picture of waiting()) estimate(picture);
  });
  drawWords();
  await reach(enter);
  limits = await reach(api.limits);
  byId("offline").hidden = true;
  drawWords();
  onChange((picture, job, event) => {
    drawSoon(picture);
    if (picture === null || job === undefined) return;
    if (event === "done") say(word("isDone", picture.name));
    if (event === "failed") say(word("hasFailed", picture.name, problemText(job.error, limits).what));
  });
  for (const { key, file, name, jobs } of await recall()) begin(add(file, name, limits, key, jobs));
  startDrop(takeFiles);
  followJobs({
    list: renew, onJob: take, onRemoved: gone,
    onConnection: (whether) => {
      if (whether && !byId("offline").hidden) say(word("online"));
      byId("offline").hidden = whether;
    },
  });
  document.body.dataset.ready = "true";
}

begins();
