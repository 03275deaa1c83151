// The page's behaviour: charts, legend, switches, sorting, copying. No library but Vega-Embed.
"use strict";

const page = JSON.parse(document.getElementById("page-data").textContent);
const tables = Object.fromEntries(Object.entries(page.data).map(([name, columns]) => [name, rowsOf(columns)]));
const hidden = new Set();
const views = new Map(); // figure → Vega view

function rowsOf(columns) {
  const names = Object.keys(columns);
  return columns[names[0]].map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
}

// ---- charts -------------------------------------------------------------------------------------------------------

const settings = () => ({
  x: document.querySelector("input[name=x]:checked")?.value ?? "epoch",
  scale: document.getElementById("log")?.checked ? "log" : "linear",
  window: Number(document.getElementById("smoothing")?.value ?? 1),
});

function specOf(figure) {
  if (!figure.classList.contains("curve")) return page.specs[figure.dataset.chart];
  const { x, scale } = settings();
  return page.specs[`curves/${figure.dataset.quantity}/${figure.dataset.split}/${x}/${scale}`];
}

async function draw(figure) {
  const spec = specOf(figure);
  figure.hidden = !spec; // by step there are training curves only
  views.get(figure)?.finalize();
  views.delete(figure);
  if (!spec) return;
  const name = spec.data?.name ?? figure.dataset.table;
  const rows = figure.classList.contains("curve") ? smoothed(name, settings().window) : tables[name];
  const options = { renderer: "svg", mode: "vega-lite", actions: { export: true, source: false, compiled: false, editor: false } };
  const { view } = await vegaEmbed(figure, { ...spec, datasets: { [name]: rows } }, options);
  views.set(figure, view);
  view.signal("hidden", [...hidden]);
  await view.runAsync();
}

const drawAll = async (figures) => { for (const figure of figures) await draw(figure); };
const curves = () => document.querySelectorAll("figure.curve");

// A centred moving average over each line; the band moves with it.
function smoothed(name, window) {
  if (window === 1) return tables[name];
  const reach = (window - 1) / 2;
  const average = (line, i, column) => {
    const near = line.slice(Math.max(0, i - reach), i + reach + 1);
    return near.reduce((sum, point) => sum + point[column], 0) / near.length;
  };
  return linesOf(tables[name]).flatMap((line) =>
    line.map((point, i) => ({ ...point, mean: average(line, i, "mean"), low: average(line, i, "low"), high: average(line, i, "high") })));
}

function linesOf(points) {
  const lines = new Map();
  for (const point of points) {
    const key = JSON.stringify([point.label, point.run, point.split, point.quantity]);
    if (!lines.has(key)) lines.set(key, []);
    lines.get(key).push(point);
  }
  return [...lines.values()];
}

for (const input of document.querySelectorAll(".controls input")) {
  input.addEventListener("change", () => {
    const { window } = settings();
    document.getElementById("smoothed").textContent = window === 1 ? "none" : `over ${window} points`;
    drawAll(curves());
  });
}

for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const { label } = button.dataset;
    const shown = hidden.delete(label);
    if (!shown) hidden.add(label);
    button.setAttribute("aria-pressed", String(shown));
    for (const view of views.values()) view.signal("hidden", [...hidden]).runAsync();
  });
}

drawAll(document.querySelectorAll("figure.chart"));

// ---- the table ----------------------------------------------------------------------------------------------------

for (const table of document.querySelectorAll("table.results")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const head of heads) {
    head.querySelector("button")?.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", direction);
      const column = heads.indexOf(head);
      const numeric = head.classList.contains("number");
      const sign = direction === "ascending" ? 1 : -1;
      const value = (row) => row.cells[column].dataset.value;
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what has no value stays last
        return sign * (numeric ? x - y : x.localeCompare(y));
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  }
}

// ---- copying ------------------------------------------------------------------------------------------------------

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a browser that gives pages from disk no clipboard
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const what = button.dataset.copy;
    await copy(what === "command" ? button.previousElementSibling.textContent : page.copies[what]);
    const status = document.getElementById("copied");
    status.textContent = "copied";
    setTimeout(() => { status.textContent = ""; }, 2000);
  });
}
