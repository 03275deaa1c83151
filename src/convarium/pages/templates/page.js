// The behavior of the page: charts, legend, switches, sorting, copying. The only library is Vega-Embed.
const page = JSON.parse(document.getElementById("page-data").textContent);
const tables = Object.fromEntries(Object.entries(page.tables).map(([name, columns]) => [name, rowsOf(columns)]));
const hidden = new Set([...document.querySelectorAll('.legend button[aria-pressed="false"]')].map((b) => b.dataset.label));
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
  const name = `curves/${figure.dataset.quantity}/${figure.dataset.split}/${x}`;
  return page.specs[`${name}/${scale}`] ?? page.specs[`${name}/linear`]; // accuracies have no logarithmic scale
}

async function draw(figure) {
  const spec = specOf(figure);
  figure.hidden = !spec; // there are curves by step for the training split only
  views.get(figure)?.finalize();
  views.delete(figure);
  if (!spec) return;
  const name = spec.usermeta.table;
  const rows = figure.classList.contains("curve") ? smoothed(name, settings().window) : tables[name];
  const options = { renderer: "svg", mode: "vega-lite", actions: { export: true, source: false, compiled: false, editor: false } };
  const { view } = await vegaEmbed(figure, { ...spec, datasets: { ...spec.datasets, [name]: rows } }, options);
  views.set(figure, view);
  if (hidden.size) await view.signal("hidden", [...hidden]).runAsync();
}

const drawAll = async (figures) => { for (const figure of figures) await draw(figure); };
const curves = () => document.querySelectorAll("figure.curve");

// A centered moving average over each line; the band moves with it.
function smoothed(name, window) {
  if (window === 1) return tables[name];
  const reach = (window - 1) / 2;
  const average = (line, i, column) => {
    const neighbors = line.slice(Math.max(0, i - reach), i + reach + 1);
    return neighbors.reduce((sum, point) => sum + point[column], 0) / neighbors.length;
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
    for (const other of document.querySelectorAll(".legend button")) {
      if (other.dataset.label === label) other.setAttribute("aria-pressed", String(shown));
    }
    for (const view of views.values()) view.signal("hidden", [...hidden]).runAsync();
  });
}

for (const select of document.querySelectorAll("select[data-sets]")) {
  select.addEventListener("change", () => {
    const figure = document.querySelector(`figure[data-chart="${select.dataset.of}"]`);
    views.get(figure)?.signal(select.dataset.sets, select.value).runAsync();
  });
}

const drawn = drawAll(document.querySelectorAll("figure.chart"));

// ---- values of the curves, by pointer and by arrow keys -------------------------------------------------------------

const hover = document.getElementById("hover");

function values(figure, at) {
  const { x, window } = settings();
  const { quantity, split } = figure.dataset;
  const lines = linesOf(smoothed(x, window)).filter(([p]) => p.quantity === quantity && p.split === split && !hidden.has(p.label));
  const nearest = (line) => line.reduce((best, p) => (Math.abs(p.x - at) < Math.abs(best.x - at) ? p : best));
  const points = lines.map(nearest);
  const x0 = points.reduce((best, p) => (Math.abs(p.x - at) < Math.abs(best - at) ? p.x : best), Infinity);
  return { x: x0, points: points.filter((p) => p.x === x0).sort((a, b) => b.mean - a.mean) };
}

function format(quantity, value) {
  return quantity === "accuracy" ? `${(100 * value).toFixed(1)} %` : value.toPrecision(3);
}

function showValues(figure, at, left, top) {
  const { x, points } = values(figure, at);
  if (!points.length) return hideValues();
  for (const other of curves()) views.get(other)?.signal("at", x).runAsync();
  const cell = (tag, text, kind) => Object.assign(document.createElement(tag), { textContent: text, className: kind ?? "" });
  const table = document.createElement("table");
  table.append(cell("caption", `${settings().x} ${Math.round(x).toLocaleString("en")}`));
  for (const point of points.slice(0, 12)) {
    const row = table.insertRow();
    const swatch = cell("td", "");
    const drawn = document.querySelectorAll(".legend button");
    const own = [...drawn].find((button) => button.dataset.label === point.label);
    swatch.append(own.querySelector("svg").cloneNode(true));
    const band = point.n > 1 ? `${format(point.quantity, point.low)} to ${format(point.quantity, point.high)}` : "";
    row.append(swatch, cell("th", point.label + (point.run ? ` (${point.run})` : "")), cell("td", format(point.quantity, point.mean), "number"), cell("td", band, "number"));
  }
  if (points.length > 12) table.insertRow().append(cell("td"), cell("th", `and ${points.length - 12} more`));
  hover.replaceChildren(table);
  hover.hidden = false;
  const box = hover.getBoundingClientRect();
  hover.style.left = `${Math.max(4, left + 16 + box.width > innerWidth ? left - box.width - 16 : left + 16)}px`;
  hover.style.top = `${Math.max(4, Math.min(top + 16, innerHeight - box.height - 8))}px`;
}

function hideValues() {
  hover.hidden = true;
  for (const figure of curves()) views.get(figure)?.signal("at", null).runAsync();
}

for (const figure of curves()) {
  const offset = () => figure.querySelector("svg.marks").getBoundingClientRect().left + views.get(figure).origin()[0];
  figure.addEventListener("pointermove", (event) => {
    const view = views.get(figure);
    if (!view) return;
    const px = event.clientX - offset();
    if (px < -5 || px > view.width() + 5) return hideValues();
    showValues(figure, view.scale("x").invert(px), event.clientX, event.clientY);
  });
  figure.addEventListener("pointerleave", hideValues);
  figure.addEventListener("blur", hideValues);
  figure.addEventListener("keydown", (event) => {
    const view = views.get(figure);
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!view || !direction) return;
    event.preventDefault();
    const { quantity, split } = figure.dataset;
    const xs = [...new Set(tables[settings().x].filter((p) => p.quantity === quantity && p.split === split).map((p) => p.x))].sort((a, b) => a - b);
    const at = view.signal("at");
    const i = at === null ? (direction > 0 ? -1 : xs.length) : xs.indexOf(at);
    const x = xs[Math.min(Math.max(i + direction, 0), xs.length - 1)];
    const box = figure.getBoundingClientRect();
    showValues(figure, x, offset() + view.scale("x")(x), box.top + box.height / 3);
  });
}

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
        if (x === "" || y === "") return (x === "") - (y === ""); // rows without a value stay last
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
  } catch { // some browsers give pages that are opened from disk no clipboard
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
    await copy(page.copies[what]);
    const status = document.getElementById("copied");
    status.textContent = `${what} copied`;
    setTimeout(() => { status.textContent = ""; }, 2000);
  });
}
