// What went wrong and what to do, in words: of a problem of the server, or of one that was found here.
import { element } from "./dom.js";
import { bytes, has, languageTag, word } from "./strings.js";

const SHOWS_DETAIL = ["model", "engine", "bad_request", "picture_too_large", "result_too_large", "out_of_memory", "other"];

export function problemText(problem, limits) {
  const code = problem !== null && has(`err_${problem.code}`) ? problem.code : "other";
  const limit = limits === null || code !== "body_too_large" ? "" : bytes(limits.max_bytes);
  return { what: word(`err_${code}`, limit), remedy: word(`fix_${code}`), code };
}

// With the server's own words where they say more than ours, and the number that a log can be searched for.
export function problemNodes(problem, limits) {
  const { what, remedy, code } = problemText(problem, limits);
  const number = problem?.number || problem?.request_id || "";
  const detail = SHOWS_DETAIL.includes(code) || languageTag() === "en" ? problem?.detail ?? "" : "";
  return [
    element("strong", {}, what), element("span", {}, remedy),
    detail === "" ? null : element("span", { class: "quiet small", lang: "en" }, detail),
    code === "bug" && number !== "" ? element("code", { class: "small" }, word("number", number)) : null,
  ].filter((one) => one !== null);
}
