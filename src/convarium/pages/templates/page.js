// The behavior of the page: charts, legend, switches, sorting, copying. The only library is Vega-Embed.
const page = JSON.parse(document.getElementById("page-data").textContent);
const tables = Object.fromEntries(Object.entries(page.tables).map(([name, columns]) => [name, rowsOf(columns)]));
const hidden = new Set([...document.querySelectorAll('.legend button[aria-pressed="false"]')].map((b) => b.dataset.label));
const views = new Map(); // figure → Vega view
const hover = document.getElementById("hover");

function columnOf(packed) {
  return packed.runs?.flatMap((value, i) => (i % 2 ? [] : Array(packed.runs[i + 1]).fill(value))) ?? packed; // value, times, value, times, …
}

function rowsOf(packed) {
  const columns = Object.fromEntries(Object.entries(packed).map(([name, column]) => [name, columnOf(column)]));
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

function isChosen(figure) { // of what a check box switches on
  if (figure.dataset.quantity === "learning rate") return document.getElementById("rate").checked;
  const scale = document.getElementById("own-scale")?.checked ? "own" : "shared";
  return (figure.dataset.scale ?? scale) === scale;
}

async function draw(figure) {
  const spec = specOf(figure);
  figure.hidden = !spec || !isChosen(figure);
  views.get(figure)?.finalize();
  views.delete(figure);
  if (!spec || figure.hidden) return;
  const name = spec.usermeta.table;
  const rows = figure.classList.contains("curve") ? smoothed(name, settings().window) : tables[name];
  const options = { renderer: "svg", mode: "vega-lite", tooltip: showTooltip, actions: { export: true, source: false, compiled: false, editor: false } };
  const { view } = await vegaEmbed(figure, { ...spec, config: page.config, datasets: { ...spec.datasets, [name]: rows } }, options);
  views.set(figure, view);
  if (hidden.size) await view.signal("hidden", [...hidden]).runAsync();
}

const drawAll = async (figures) => { for (const figure of figures) await draw(figure); };
const curves = () => document.querySelectorAll("figure.curve");

// The mean over a part of the horizontal axis around each point, the same in all panels; the band moves with it.
function smoothed(name, share) {
  const reach = reachOf(name, share);
  if (!reach) return tables[name];
  return linesOf(tables[name]).flatMap((line) => {
    if (line[0].quantity === "learning rate") return line;
    let first = 0, end = 0;
    return line.map((point) => {
      while (line[first].x < point.x - reach) first += 1;
      while (end < line.length && line[end].x <= point.x + reach) end += 1;
      const near = line.slice(first, end);
      const mean = (column) => near.reduce((sum, other) => sum + other[column], 0) / near.length;
      return { ...point, mean: mean("mean"), low: mean("low"), high: mean("high") };
    });
  });
}

function reachOf(name, share) { // half of the part of the axis that is averaged
  const xs = tables[name].map((point) => point.x);
  return share <= 1 ? 0 : ((share - 1) / 200) * (xs.reduce((a, b) => Math.max(a, b)) - xs.reduce((a, b) => Math.min(a, b)));
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
    const { x, window } = settings();
    const over = Number((2 * reachOf(x, window)).toPrecision(2)).toLocaleString("en");
    document.getElementById("smoothed").textContent = window === 1 ? "none" : `over ${over} ${x}s`;
    drawAll(input.id === "own-scale" ? document.querySelectorAll("figure[data-scale]") : curves());
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

// A legend that is taller than its box fades at its end, and a button below it shows it whole.
for (const legend of document.querySelectorAll(".legend")) {
  const button = legend.nextElementSibling;
  const mark = () => {
    const whole = legend.classList.contains("whole");
    const cut = !whole && legend.scrollHeight > legend.clientHeight + 1;
    legend.classList.toggle("cut", cut);
    button.hidden = !cut && !whole;
    button.setAttribute("aria-expanded", String(whole));
    button.textContent = whole ? "fewer" : button.dataset.folded;
  };
  button.addEventListener("click", () => { legend.classList.toggle("whole"); mark(); });
  new ResizeObserver(mark).observe(legend);
}

for (const select of document.querySelectorAll("select[data-sets]")) {
  select.addEventListener("change", () => {
    const figure = document.querySelector(`figure[data-chart="${select.dataset.of}"]`);
    views.get(figure)?.signal(select.dataset.sets, select.value).runAsync();
  });
}

for (const select of document.querySelectorAll("select[data-shows]")) {
  select.addEventListener("change", () => {
    for (const part of document.querySelectorAll(`[data-shown-by="${select.dataset.shows}"]`)) {
      part.hidden = part.dataset.label !== select.value;
    }
  });
}

const drawn = drawAll(document.querySelectorAll("figure.chart"));

// ---- tooltips, beside the pointer and never under it --------------------------------------------------------------

function placeBeside(box, x, y) {
  const { width, height } = box.getBoundingClientRect();
  const right = x + 16, left = x - 16 - width;
  const beside = right + width <= innerWidth - 4 ? right : left >= 4 ? left : null;
  const within = (at, size, most) => Math.max(4, Math.min(at, most - size - 4));
  box.style.left = `${beside ?? within(x - width / 2, width, innerWidth)}px`;
  const below = y + 20 + height <= innerHeight - 4 ? y + 20 : y - 20 - height;
  box.style.top = `${beside === null ? Math.max(4, below) : within(y + 12, height, innerHeight)}px`;
}

// Vega calls this with the values of the mark under the pointer, as text; and with nothing when the pointer leaves it.
function showTooltip(_, event, __, value) {
  if (value === null || value === undefined || value === "") return void (hover.hidden = true);
  const table = document.createElement("table");
  for (const [name, text] of Object.entries(value)) {
    if (text === "" || text === "null") continue;
    const row = table.insertRow();
    row.append(Object.assign(document.createElement("th"), { textContent: name === "label" ? "network" : name }));
    row.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  hover.replaceChildren(table);
  hover.hidden = false;
  placeBeside(hover, event.clientX, event.clientY);
}

// ---- values of the curves, by pointer and by arrow keys -------------------------------------------------------------

function values(figure, at) {
  const { x, window } = settings();
  const { quantity, split } = figure.dataset;
  const lines = linesOf(smoothed(x, window)).filter(([p]) => p.quantity === quantity && p.split === split && !hidden.has(p.label));
  const nearest = (line) => line.reduce((best, p) => (Math.abs(p.x - at) < Math.abs(best.x - at) ? p : best));
  if (x !== "epoch") { // the networks have values at different places
    const within = (line) => Math.abs(nearest(line).x - at) <= Math.max(2, (line.at(-1).x - line[0].x) / (line.length - 1 || 1));
    return { x: at, points: lines.filter(within).map(nearest).sort((a, b) => b.mean - a.mean) };
  }
  const points = lines.map(nearest);
  const x0 = points.reduce((best, p) => (Math.abs(p.x - at) < Math.abs(best - at) ? p.x : best), Infinity);
  return { x: x0, points: points.filter((p) => p.x === x0).sort((a, b) => b.mean - a.mean) };
}

function format(quantity, value) {
  return quantity === "accuracy" ? `${(100 * value).toFixed(1)}\u00a0%` : Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 });
}

function showValues(figure, at, left, top) {
  const { x, points } = values(figure, at);
  if (!points.length) return hideValues();
  for (const other of curves()) views.get(other)?.signal("at", x).runAsync();
  const cell = (tag, text, kind) => Object.assign(document.createElement(tag), { textContent: text, className: kind ?? "" });
  const table = document.createElement("table");
  const written = settings().x === "second" ? `${Number(x.toPrecision(3))} s of training` : `${settings().x} ${Math.round(x).toLocaleString("en")}`;
  table.append(cell("caption", written));
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
  placeBeside(hover, left, top);
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

// ---- explanations of the table's headings ---------------------------------------------------------------------------

{
  const explanation = document.getElementById("explanation");
  let timer;
  const show = (button, x) => {
    clearTimeout(timer);
    explanation.textContent = document.getElementById(button.getAttribute("aria-describedby")).textContent;
    explanation.hidden = false;
    const box = button.getBoundingClientRect();
    const width = explanation.offsetWidth;
    explanation.style.left = `${scrollX + Math.max(4, Math.min(x + 8, document.documentElement.clientWidth - width - 4))}px`;
    explanation.style.top = `${scrollY + box.bottom + 6}px`;
  };
  const hide = () => { clearTimeout(timer); explanation.hidden = true; };
  const hideSoon = () => { timer = setTimeout(hide, 200); }; // time for the pointer to reach the explanation
  for (const button of document.querySelectorAll("th button[aria-describedby]")) {
    button.addEventListener("pointerenter", (event) => show(button, event.clientX));
    button.addEventListener("pointerleave", hideSoon);
    button.addEventListener("focus", () => { if (button.matches(":focus-visible")) show(button, button.getBoundingClientRect().left); });
    button.addEventListener("click", (event) => { if (event.clientX) show(button, event.clientX); }); // a tap, too
    button.addEventListener("blur", hide);
  }
  explanation.addEventListener("pointerenter", () => clearTimeout(timer));
  explanation.addEventListener("pointerleave", hideSoon);
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.querySelector(".results-box .scroll")?.addEventListener("scroll", hide, { passive: true });
}

// ---- contents -----------------------------------------------------------------------------------------------------

{
  const links = [...document.querySelectorAll(".contents a")];
  const headings = links.map((link) => document.getElementById(link.hash.slice(1)));
  const mark = () => {
    const passed = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3).length;
    const current = links[Math.max(passed - 1, 0)];
    for (const link of links) {
      if (link !== current) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        link.closest("ul").scrollTo({ left: link.offsetLeft - 48 });
      }
    }
  };
  addEventListener("scroll", mark, { passive: true });
  if (links.length) mark();
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
