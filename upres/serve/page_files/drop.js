// Pictures come in: dropped, pasted, chosen; folders with all that is in them.
import { byId } from "./dom.js";

const SUFFIXES = /\.(jpe?g|jfif|png|webp|avif|tiff?|bmp|gif|hei[cf]|jxl|jp2|p[pgnb]m|exr|hdr|dng|cr2|nef|arw)$/i;
const isPicture = (file) => file.type.startsWith("image/") || SUFFIXES.test(file.name);

// All files below an entry of the file system that was dropped.
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => { entry.file(resolve, reject); })];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); }); // a hundred at most
    if (some.length === 0) return found;
    for (const one of some) found.push(...await filesOf(one));
  }
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null).filter((entry) => entry !== null);
  if (entries.length === 0) return [...transfer.files];
  const found = [];
  for (const entry of entries) found.push(...await filesOf(entry));
  return found;
}

// take(files, how many were left out): files are pictures by their type or name, hidden ones are left out unsaid.
export function startDrop(take) {
  const offer = (files) => {
    const seen = files.filter((file) => !file.name.startsWith("."));
    const good = seen.filter(isPicture);
    take(good, seen.length - good.length);
  };
  let inside = 0; // enter and leave come for every element that the pointer passes
  const shade = (on) => { byId("dropping").hidden = !on; };
  const carriesFiles = (event) => [...event.dataTransfer?.types ?? []].includes("Files");
  addEventListener("dragenter", (event) => { if (carriesFiles(event)) { inside++; shade(true); } });
  addEventListener("dragleave", (event) => { if (carriesFiles(event)) { inside = Math.max(0, inside - 1); shade(inside > 0); } });
  addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    inside = 0;
    shade(false);
    offer(await dropped(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData?.files ?? []];
    if (files.length === 0) return;
    event.preventDefault();
    const time = new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", ".");
    offer(files.map((file) => file.name === "image.png" ? new File([file], `pasted ${time}.png`, { type: file.type }) : file));
  });
  for (const [button, input] of [["choose", "files"], ["choose-folder", "folder"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", () => {
      offer([...byId(input).files]);
      byId(input).value = "";
    });
  }
}
