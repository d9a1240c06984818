// What `inspect` says of a picture, and why a model was chosen, in words.
import { element } from "./dom.js";
import { number, pixels, word } from "./strings.js";

export function modelTitle(name, has) { return has(`name_${name}`) ? word(`name_${name}`) : name; }

const REASONS = [
  [/^JPEG quality (\d+)$/, "reasonJpeg"], [/^earlier JPEG quality (\d+)$/, "reasonEarlier"], [/^noise (\d+)$/, "reasonNoise"],
  [/^soft \(looks enlarged ([\d.]+) times\)$/, "reasonSoft"], [/^drawn$/, "reasonDrawn"], [/^clean$/, "reasonClean"],
  [/^gray and clean$/, "reasonGray"],
];

// The server's reason, part by part; a part that is not known stays as it is.
export function reason(text) {
  return text.split(", ").map((part) => {
    for (const [pattern, key] of REASONS) {
      const found = part.match(pattern);
      if (found !== null) return word(key, found[1]);
    }
    return part;
  }).join(word("comma"));
}

// [[word, text]...] of a report of `POST /v1/inspect`.
function lines(report) {
  const told = (value, yes, no) => value === null ? word("unknown") : word(value ? yes : no);
  const kind = [
    report.drawn === null ? null : told(report.drawn, "drawn", "photo"), report.gray === null ? null : told(report.gray, "gray", "color"),
    report.alpha ? word("alpha") : null, report.depth > 8 ? word("bits", report.depth) : null,
  ].filter((one) => one !== null);
  return [
    ["file", `${report.format.toUpperCase()}, ${pixels(report.width, report.height)}`],
    ["resolution", resolution(report)],
    ["compression", compression(report)],
    ["noise", noise(report.noise_luma_sigma_255)],
    ["banding", told(report.banded, "steps", "smooth")],
    ["kind", kind.join(word("comma")) || word("unknown")],
  ];
}

function resolution({ true_scale: scale, width, height }) {
  if (scale === null) return word("unknown");
  if (scale === 1) return word("fullDetail");
  return word("soft", pixels(Math.max(1, Math.round(width / scale)), Math.max(1, Math.round(height / scale))));
}

function compression({ jpeg_quality: quality, earlier_jpeg_quality: earlier }) {
  if (quality === null) return earlier === null ? word("noJpeg") : word("jpegBefore", earlier);
  return earlier === null ? word("jpeg", quality) : word("jpegAgain", quality, earlier);
}

function noise(sigma) {
  if (sigma === null) return word("unknown");
  if (sigma < 1.5) return word("noiseNone");
  return word(sigma < 8 ? "noiseSome" : "noiseMuch", number(sigma, 1));
}

export function reportNodes(report) {
  return lines(report).flatMap(([key, text]) => [element("dt", {}, word(key)), element("dd", {}, text)]);
}
