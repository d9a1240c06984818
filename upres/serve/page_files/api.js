// The server's HTTP interface: one function a request, and problems as exceptions.

// code: as the server names it; "offline" where it cannot be reached.
export class Problem extends Error {
  constructor(code, detail = "", { status = 0, number = "", waitSeconds = null } = {}) {
    super(detail || code);
    Object.assign(this, { code, detail, status, number, waitSeconds });
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("offline");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  // What stands between us and a server that restarts answers with these.
  const away = told.code === undefined && [502, 503, 504].includes(response.status);
  const waitSeconds = told.retry_after_s ?? (Number(response.headers.get("Retry-After")) || null);
  const { code = away ? "offline" : "other", detail = "" } = told;
  throw new Problem(code, detail, { status: response.status, number: told.request_id ?? "", waitSeconds });
}

const json = async (path, options) => (await request(path, options)).json();
const query = (parameters) => {
  const known = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.length === 0 ? "" : `?${new URLSearchParams(known)}`;
};

export const session = () => json("/v1/session");
export const enter = (token) => request("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
export const limits = () => json("/v1/limits");
export const models = () => json("/v1/models");

// { jobs, next, after }: newest first; `after` is the number of the last event that they contain.
export async function jobs(before = "") {
  const response = await request(`/v1/jobs${query({ limit: 100, before })}`);
  return { ...(await response.json()), after: response.headers.get("Upres-Last-Event") ?? "" };
}

// The same id, picture and parameters may be sent again.
export const putJob = (id, parameters, body, signal) =>
  json(`/v1/jobs/${id}${query(parameters)}`, { method: "PUT", body, signal });

export const deleteJob = (id) => request(`/v1/jobs/${id}`, { method: "DELETE" });

export const inspect = (body, source, scale) => json(`/v1/inspect${query({ source, scale })}`, { method: "POST", body });

export const estimate = (width, height, parameters) => json("/v1/estimate", {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ width, height, parameters }),
});

export const resultOf = (job) => `/v1/jobs/${job.id}/result`;
export const downloadOf = (job) => `${resultOf(job)}?download=1`;
export const sourceOf = (job) => `/v1/jobs/${job.id}/source`;
export const previewOf = (job, of, side) => `/v1/jobs/${job.id}/preview?of=${of}&side=${side}`;
export const fetchResult = (job) => request(resultOf(job));

// crypto.randomUUID exists only where the page is a secure context, which a plain address in a network is not.
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
