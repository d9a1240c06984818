// Where the pictures themselves come from: the file while this tab has it, else the server.
import * as api from "./api.js";
import { changed, onServer } from "./pictures.js";

const SHOWN = ["png", "jpeg", "webp", "avif", "gif"]; // what every browser shows
const MOST_PIXELS = 80e6; // of a picture in an <img>: about 320 MB
const PREVIEW_PX = 2048;
const THUMBNAIL_PX = 160;

// { url, reduced }: of the original; null where it cannot be shown (yet).
export function original(picture) {
  if (picture.shownFile) return { url: picture.shownFile, reduced: null };
  const job = onServer(picture);
  if (job === null || job.state === "failed" && job.picture?.width === null) return null;
  if (SHOWN.includes(job.picture?.format) && job.picture.width * job.picture.height <= MOST_PIXELS) return { url: api.sourceOf(job), reduced: null };
  const side = Math.max(job.picture?.width ?? 0, job.picture?.height ?? 0);
  return { url: api.previewOf(job, "source", PREVIEW_PX), reduced: side > PREVIEW_PX ? PREVIEW_PX : null };
}

// The same of a result.
export function result(job) {
  const { width = 0, height = 0 } = job.size ?? {};
  const type = job.result.type.replace("image/", "");
  if (SHOWN.includes(type) && width * height <= MOST_PIXELS) return { url: api.resultOf(job), reduced: null };
  return { url: api.previewOf(job, "result", PREVIEW_PX), reduced: Math.max(width, height) > PREVIEW_PX ? PREVIEW_PX : null };
}

export function thumbnail(picture) {
  const job = onServer(picture);
  return picture.thumbnail ?? (job === null || (picture.file !== null && !picture.unseen) ? null : api.previewOf(job, "source", THUMBNAIL_PX));
}

// Decode the file once, small: its size and its thumbnail. What the browser cannot read, the server may.
let turn = Promise.resolve();
export function measure(picture) {
  turn = turn.then(async () => {
    const url = URL.createObjectURL(picture.file);
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
    } catch {
      URL.revokeObjectURL(url);
      picture.unseen = true;
      return;
    }
    picture.shownFile = url;
    picture.width = image.naturalWidth;
    picture.height = image.naturalHeight;
    const share = Math.min(1, THUMBNAIL_PX / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(picture.width * share));
    canvas.height = Math.max(1, Math.round(picture.height * share));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    const small = await new Promise((resolve) => { canvas.toBlob(resolve, "image/webp", 0.85); });
    picture.thumbnail = URL.createObjectURL(small);
  }).finally(() => changed(picture));
  return turn;
}
