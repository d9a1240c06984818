// What happens to the jobs, as it happens. One tab holds the connection (a browser opens only six to one server) and
// tells the others; when it is closed, the next takes over. A server that is away is tried again for ever.
import { sleep } from "./dom.js";

const NAMES = ["queued", "running", "progress", "retry", "done", "failed", "canceled"];
const PATIENCE_MS = [500, 1000, 2000, 3000];

// list(): renews the list of all jobs and answers with the number of the last event in it.
// onJob(job, event), onRemoved(id), onConnection(whether): called in every tab.
export function followJobs({ list, onJob, onRemoved, onConnection }) {
  const others = "BroadcastChannel" in window ? new BroadcastChannel("upres-events") : null;
  const act = {
    job: ([job, name]) => onJob(job, name),
    removed: ([id]) => onRemoved(id),
    connection: ([whether]) => onConnection(whether),
    // what was missed by the tab that held the connection before
    renew: () => list().catch(() => onConnection(false)),
  };
  const tell = (kind, ...values) => {
    others?.postMessage([kind, ...values]);
    if (kind !== "renew") act[kind](values);
  };
  others?.addEventListener("message", ({ data: [kind, ...values] }) => act[kind]?.(values));
  list().then(() => onConnection(true), () => onConnection(false));

  const lead = async () => {
    for (let failures = 0; ; failures++) {
      try {
        const after = await list();
        tell("renew");
        tell("connection", true);
        failures = 0;
        await listen(after, tell, list);
      } catch (error) {
        if (error.code === "unauthorized") location.reload(); // the way in asks for a token
        tell("connection", false);
      }
      await sleep(PATIENCE_MS[Math.min(failures, PATIENCE_MS.length - 1)]);
    }
  };
  if (navigator.locks === undefined) lead();
  else navigator.locks.request("upres-events", lead);
}

// Until the browser gives up. It connects again by itself, with Last-Event-ID, after a broken connection.
function listen(after, tell, list) {
  const source = new EventSource(`/v1/events?after=${encodeURIComponent(after)}`);
  let broken = false;
  for (const name of NAMES) {
    source.addEventListener(name, (event) => tell("job", JSON.parse(event.data), name));
  }
  source.addEventListener("removed", (event) => tell("removed", JSON.parse(event.data).id));
  source.addEventListener("open", () => {
    if (!broken) return;
    broken = false;
    tell("connection", true);
    tell("renew");
    list().catch(() => tell("connection", false));
  });
  return new Promise((_, reject) => {
    source.addEventListener("error", () => {
      broken = true;
      tell("connection", false);
      if (source.readyState === EventSource.CLOSED) reject(new Error("closed"));
    });
  });
}
