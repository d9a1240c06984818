// PSNR, SSIM and times of the picture, and their means over all pictures.
function decimals(value, count) { return value === "inf" ? "∞" : value.toFixed(count); }

function meanOf(index, key) {
  const values = data.pictures.map((one) => one.versions[index][key]);
  if (values.some((value) => value === null)) return null;
  return values.includes("inf") ? "inf" : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function drawFigures() {
  const measured = data.pictures.some((one) => one.versions.some((version) => version.psnr !== null));
  const columns = [...(measured ? [["psnr", 2], ["ssim", 4]] : []), ["seconds", 2]];
  const several = data.pictures.length > 1;
  const titles = { psnr: ["psnr", "meanPsnr"], ssim: ["ssim", "meanSsim"], seconds: ["seconds", "meanSeconds"] };
  const head = element("tr");
  head.append(element("th", word("version"), { scope: "col" }));
  for (const part of several ? [0, 1] : [0]) {
    for (const [key] of columns) head.append(element("th", word(titles[key][part]), { scope: "col" }));
  }
  byId("figures-head").replaceChildren(head);
  const caption = word(measured ? "caption" : "captionBare", picture().name, data.pictures.length, data.scale);
  byId("figures-caption").textContent = caption;
  const cell = (value, count) => element("td", value === null ? "–" : decimals(value, count));
  byId("figures-body").replaceChildren(...picture().versions.flatMap((version, index) => {
    if (["LR", "HR", "map"].includes(version.kind)) return [];
    const row = element("tr");
    row.append(element("th", nameOf(version), { scope: "row" }));
    for (const [key, count] of columns) row.append(cell(version[key], count));
    if (several) for (const [key, count] of columns) row.append(cell(meanOf(index, key), count));
    return [row];
  }));
}
