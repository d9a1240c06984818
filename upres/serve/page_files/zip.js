// A ZIP file of finished pictures, stored as they are (APPNOTE.TXT 6.3, without ZIP64: at most 4 GB together).
export const MOST_BYTES = 0xffffffff - 65536 * 200;

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

function crcOf(bytes, before) {
  let crc = before;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return crc;
}

async function crc32(blob) {
  let crc = 0xffffffff;
  const reader = blob.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return (crc ^ 0xffffffff) >>> 0;
    crc = crcOf(value, crc);
  }
}

// Fields of 2 and 4 bytes: [size, value]...
function packed(fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view.buffer;
}

function distinct(names) {
  const seen = new Set();
  return names.map((name) => {
    const at = name.lastIndexOf(".") > 0 ? name.lastIndexOf(".") : name.length;
    let free = name;
    for (let count = 2; seen.has(free.toLowerCase()); count++) free = `${name.slice(0, at)} (${count})${name.slice(at)}`;
    seen.add(free.toLowerCase());
    return free;
  });
}

// files: [{ name, blob }]. The blobs are not copied: the browser may keep them on disk.
export async function zip(files, now = new Date()) {
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const date = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  const parts = [], directory = [];
  let offset = 0;
  const names = distinct(files.map((file) => file.name));
  for (const [index, { blob }] of files.entries()) {
    const name = new TextEncoder().encode(names[index]);
    // version 2.0, UTF-8 names, stored
    const common = [[2, 20], [2, 0x0800], [2, 0], [2, time], [2, date], [4, await crc32(blob)], [4, blob.size], [4, blob.size], [2, name.length], [2, 0]];
    parts.push(packed([[4, 0x04034b50], ...common]), name, blob);
    directory.push(packed([[4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), name);
    offset += 30 + name.length + blob.size;
  }
  const size = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = packed([[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
