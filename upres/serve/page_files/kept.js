// Pictures that the server does not have yet survive a reload of their tab: in IndexedDB, by tab. What a tab left behind
// goes after a day.
const DAY_MS = 86400000;
const TAB = "upres-tab";

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

let opened = null;
function store(mode) {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("upres", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("pictures", { keyPath: "key" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened.then((base) => base.transaction("pictures", mode).objectStore("pictures"));
}

function tab() {
  let id = sessionStorage.getItem(TAB);
  if (id === null) {
    id = String(Math.random());
    sessionStorage.setItem(TAB, id);
  }
  return id;
}

// A private window may keep nothing, and a full disk no more: then a reload forgets what was not sent.
const orNothing = (work) => work().catch(() => null);

export const forget = (picture) => orNothing(async () => { await done((await store("readwrite")).delete(picture.key)); });

// Keep the picture while something of it has not been sent; else forget it.
export function remember(picture) {
  const unsent = [...picture.jobs.values()].filter((job) => ["unsent", "sending"].includes(job.state));
  if (picture.file === null || (picture.jobs.size > 0 && unsent.length === 0)) return forget(picture);
  const jobs = unsent.map(({ id, request, created_at }) => ({ id, request, created_at }));
  const { key, file, name, added } = picture;
  return orNothing(async () => { await done((await store("readwrite")).put({ key, file, name, added, jobs, tab: tab(), time: Date.now() })); });
}

// [{ key, file, name, jobs }] of this tab, as they were added.
export const recall = async () => (await orNothing(async () => {
  const all = await done((await store("readonly")).getAll());
  for (const old of all.filter((one) => Date.now() - one.time > DAY_MS)) await forget(old);
  return all.filter((one) => one.tab === tab() && Date.now() - one.time <= DAY_MS).sort((a, b) => a.added - b.added);
})) ?? [];
