// The pictures of the page and their jobs. A picture is what was added once; each model that enlarges it is a job.
// A job on the server is as the server tells it; one that is still here has the state "unsent" or "sending".
import * as api from "./api.js";
import { sleep } from "./dom.js";
import { forget, remember } from "./kept.js";
import { factorFor, parameters, settings } from "./settings.js";

export const pictures = new Map(); // by key, in the order of adding
const places = new Map(); // key of the picture by the id of a job
const listeners = new Set();
const outbox = []; // jobs to be sent: [picture, job]
const removed = new Set(); // ids of jobs that an answer on its way must not bring back

export const ACTIVE = ["unsent", "sending", "queued", "running"];
const ENDED = ["done", "failed", "canceled"];

// listener(picture, job or undefined, event or undefined); picture is null where many have changed.
export function onChange(listener) { listeners.add(listener); }
export function changed(picture, job, event) { for (const listener of listeners) listener(picture, job, event); }

// A key that tells when the picture was added: the order of the list stays the same after a reload.
export const newKey = (ms) => `p${ms.toString(36)}-${api.newId().slice(0, 12)}`;
const addedAt = (key) => /^p[0-9a-z]{8}-[0-9a-f]{12}$/.test(key) ? parseInt(key.slice(1, 9), 36) / 1000 : null;

function make(key, values) {
  const picture = {
    key, name: "", file: null, bytes: null, width: null, height: null, thumbnail: null, problem: null, added: 0,
    look: null, lookProblem: null, looking: false, seconds: null, jobs: new Map(), ...values,
  };
  pictures.set(key, picture);
  return picture;
}

export function add(file, name, limits, key, jobs = []) {
  const picture = pictures.get(key) ?? make(key, { added: addedAt(key) });
  Object.assign(picture, { file, name, bytes: file.size });
  if (file.size === 0) picture.problem = new api.Problem("empty");
  if (limits !== null && file.size > limits.max_bytes) picture.problem = new api.Problem("body_too_large");
  for (const job of jobs) enqueue(picture, job);
  if (picture.problem === null) remember(picture);
  changed(picture);
  return picture;
}

const list = (picture) => [...picture.jobs.values()];
export const doneJobs = (picture) => list(picture).filter((job) => job.state === "done");
export const activeJobs = (picture) => list(picture).filter((job) => ACTIVE.includes(job.state));
export const isWaiting = (picture) => picture.jobs.size === 0 && picture.problem === null;
export const waiting = () => [...pictures.values()].filter(isWaiting);
// A job of the picture that the server has, whose source can be used again.
export const onServer = (picture) => list(picture).find((job) => !job.local && !["unsent", "sending"].includes(job.state)) ?? null;

// What the list shows of a picture: its state, its progress in [0, 1], the seconds left (null: not known).
export function summary(picture) {
  const active = activeJobs(picture), done = doneJobs(picture);
  if (active.length > 0) {
    const all = [...active, ...done];
    const progress = all.reduce((sum, job) => sum + (job.state === "done" ? 1 : job.progress), 0) / all.length;
    const state = ["running", "queued", "sending", "unsent"].find((one) => active.some((job) => job.state === one));
    const known = active.map((job) => job.eta_s).filter((seconds) => seconds !== null && seconds !== undefined);
    return { state, progress, left: known.length > 0 ? Math.max(...known) : null, job: active.find((job) => job.state === state) };
  }
  if (picture.problem !== null) return { state: "failed", error: picture.problem };
  if (done.length > 0) return { state: "done", job: done.at(-1) };
  const last = list(picture).at(-1);
  return last === undefined ? { state: "waiting" } : { state: last.state, error: last.error, job: last };
}

// ---- from the server ----

export function take(job, event) {
  if (removed.has(job.id)) return;
  const key = places.get(job.id) ?? (job.group || job.id);
  const picture = pictures.get(key) ?? make(key, { added: addedAt(key) ?? job.created_at });
  const before = picture.jobs.get(job.id);
  if (ENDED.includes(before?.state) && !before.local && !ENDED.includes(job.state)) return; // an answer that was slower than the events
  picture.name ||= job.name || job.id;
  picture.bytes ??= job.picture?.bytes ?? null;
  picture.width ??= job.picture?.width ?? null;
  picture.height ??= job.picture?.height ?? null;
  picture.jobs.set(job.id, job);
  places.set(job.id, key);
  if (before === undefined || before.state !== job.state || before.progress !== job.progress || before.eta_s !== job.eta_s
    || before.place !== job.place) changed(picture, job, event);
}

// The server has removed a job.
export function gone(id) {
  removed.add(id);
  drop(id);
}

function drop(id) {
  const picture = pictures.get(places.get(id));
  places.delete(id);
  if (picture === undefined || !picture.jobs.delete(id)) return;
  if (picture.jobs.size === 0) discard(picture);
  else changed(picture);
}

function discard(picture) {
  pictures.delete(picture.key);
  forget(picture);
  if (picture.thumbnail?.startsWith("blob:")) URL.revokeObjectURL(picture.thumbnail);
  if (picture.shownFile) URL.revokeObjectURL(picture.shownFile);
  changed(null);
}

let next; // where the earlier jobs begin; null: there are none
export const hasEarlier = () => Boolean(next);

// The newest jobs again; what the server does not know any more is gone.
export async function renew() {
  const isThere = (job) => !job.local && !["unsent", "sending"].includes(job.state);
  const before = [...pictures.values()].flatMap(list).filter(isThere); // what comes while the server answers is new
  const told = await api.jobs();
  const ids = new Set(told.jobs.map((job) => job.id));
  const oldest = told.next ? told.jobs.at(-1).created_at : 0;
  for (const job of before) if (!ids.has(job.id) && job.created_at > oldest) drop(job.id);
  if (next === undefined) next = told.next;
  for (const job of told.jobs.reverse()) take(job);
  changed(null);
  return told.after;
}

export async function earlier() {
  const told = await api.jobs(next);
  next = told.next;
  for (const job of told.jobs.reverse()) take(job);
  changed(null);
}

// ---- to the server ----

function enqueue(picture, { id, request, created_at, replaces = null }) {
  const job = { id, request, created_at, replaces, name: picture.name, group: picture.key, state: "unsent", progress: 0, eta_s: null,
    place: null, error: null, result: null, model: null, size: null, notes: [] };
  picture.jobs.set(id, job);
  places.set(id, picture.key);
  outbox.push([picture, job]);
  work();
}

export function start(picture, models = settings.models) {
  picture.problem = null;
  models.forEach((model, index) => enqueue(picture, {
    id: api.newId(), request: parameters(model), created_at: Date.now() / 1000 + index / 1000,
  }));
  remember(picture);
  changed(picture);
}

let working = false;

// One after the other, in order. A full queue is waited for, a server that is away is tried again.
async function work() {
  if (working) return;
  working = true;
  while (outbox.length > 0) {
    const [picture, job] = outbox[0];
    if (job.state === "unsent" && picture.jobs.get(job.id) === job) {
      const wait = await send(picture, job);
      if (wait !== null) {
        await sleep(wait * 1000);
        continue;
      }
    }
    outbox.splice(outbox.findIndex(([, one]) => one === job), 1);
  }
  working = false;
}

// null, or the seconds to wait before it is sent again.
async function send(picture, job) {
  job.state = "sending";
  job.stop = new AbortController();
  changed(picture, job);
  const first = onServer(picture);
  const of = first === null ? {} : { source: first.id };
  try {
    const body = first === null ? await readable(picture.file) : null;
    const told = await api.putJob(job.id, { ...job.request, name: shortName(picture.name), group: picture.key, ...of }, body, job.stop.signal);
    remember(picture);
    take(told, told.state);
    if (job.replaces !== null) await removeJob(picture, job.replaces);
  } catch (error) {
    if (picture.jobs.get(job.id) !== job) return null; // canceled, or the stream of events was faster
    if (["offline", "queue_full", "draining", "no_worker"].includes(error.code)) {
      job.state = "unsent";
      changed(picture, job);
      return Math.min(10, Math.max(1, error.waitSeconds ?? 2));
    }
    job.state = "failed";
    job.error = error instanceof api.Problem ? error : new api.Problem("bug", String(error));
    job.local = true;
    changed(picture, job, "failed");
  }
  return null;
}

// The server takes names of 200 characters; the ending stays.
const shortName = (name) => name.length <= 200 ? name : `${name.slice(0, 190)}…${name.slice(-8)}`;

// A file that was moved or deleted fails as a lost connection does: find out which it is.
async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new api.Problem("unreadable");
  }
  return file;
}

export async function cancel(picture) {
  for (const job of activeJobs(picture)) {
    if (job.state === "unsent" || job.state === "sending") {
      job.stop?.abort();
      picture.jobs.delete(job.id);
      if (job.state === "sending") await deleteQuietly(job.id); // it may have arrived
    } else {
      take(await (await api.deleteJob(job.id)).json(), "canceled");
    }
  }
  remember(picture);
  changed(picture);
}

export async function remove(picture) {
  await cancel(picture);
  for (const job of list(picture)) await removeJob(picture, job);
  if (pictures.has(picture.key)) discard(picture);
}

export async function removeJob(picture, job) {
  if (!job.local) await deleteQuietly(job.id);
  drop(job.id);
}

// Already gone is as good as gone now.
async function deleteQuietly(id) {
  try {
    const response = await api.deleteJob(id);
    if (response.status === 200) await api.deleteJob(id); // it was still at work: canceled first, then removed
    removed.add(id);
  } catch (error) {
    if (error.code !== "not_found") throw error;
  }
}

// Again what failed or was canceled, with the options of then. The old job goes when the new one is accepted, because
// the server may have the picture only with it.
export function retry(picture) {
  for (const job of list(picture).filter((one) => ["failed", "canceled"].includes(one.state))) {
    enqueue(picture, { id: api.newId(), request: job.request, created_at: Date.now() / 1000, replaces: job.local ? null : job });
    if (job.local) drop(job.id);
  }
  remember(picture);
  changed(picture);
}

// ---- what is known of a picture before it is enlarged ----

// Up to twice the size another model fits than above. What is done already has its model.
const isSmall = (picture) => (factorFor(picture.width, picture.height) ?? 4) <= 2;
const isOutdated = (picture) => isWaiting(picture) && picture.look.small !== isSmall(picture);

const looks = []; // pictures to look at, the most wanted last
let looking = false;

export function wantLook(picture) {
  if (picture.looking || picture.problem !== null || picture.lookProblem !== null || (picture.look !== null && !isOutdated(picture))) return;
  const at = looks.indexOf(picture);
  if (at >= 0) looks.splice(at, 1);
  looks.push(picture);
  lookOn();
}

async function lookOn() {
  if (looking) return;
  looking = true;
  while (looks.length > 0) {
    const picture = looks.pop();
    if (pictures.get(picture.key) === picture) await look(picture);
  }
  looking = false;
}

async function look(picture) {
  picture.looking = true;
  changed(picture);
  const job = onServer(picture);
  const scale = factorFor(picture.width, picture.height) ?? 4;
  try {
    const [body, source] = picture.file === null ? [null, job?.id] : [await readable(picture.file), null];
    const told = await api.inspect(body, source, Math.min(64, Math.max(0.01, scale)));
    picture.look = { ...told, small: scale <= 2 };
    picture.width ??= picture.look.report.width;
    picture.height ??= picture.look.report.height;
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    picture.lookProblem = error;
    const isOurs = ["picture", "picture_too_large", "body_too_large", "unreadable"].includes(error.code);
    if (isOurs && isWaiting(picture)) picture.problem = error;
  }
  picture.looking = false;
  changed(picture);
  if (isWaiting(picture)) estimate(picture);
}

const estimates = new Map();

// An estimate that cannot be had is not shown; that a picture or an option is refused is told when it is sent.
export const estimate = (picture) => estimateOne(picture).catch((error) => { if (!(error instanceof api.Problem)) throw error; });

// The seconds that a waiting picture will take, with the models and the size chosen now.
async function estimateOne(picture) {
  if (!picture.width) return;
  let sum = 0;
  for (const model of settings.models) {
    const asked = parameters(model === "auto" && picture.look !== null && !isOutdated(picture) ? picture.look.model.name : model);
    const key = JSON.stringify([picture.width, picture.height, asked]);
    if (!estimates.has(key)) {
      estimates.set(key, api.estimate(picture.width, picture.height, asked).then((told) => told.seconds, (error) => {
        estimates.delete(key);
        throw error;
      }));
    }
    sum += await estimates.get(key);
  }
  if (picture.seconds === sum) return;
  picture.seconds = sum;
  changed(picture);
}
