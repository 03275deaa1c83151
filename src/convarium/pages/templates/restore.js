// Keeps controls, sorting, open parts and the scroll position when the page reloads itself: `saveState` runs before, the
// rest of this file after.
"use strict";

const all = (selector) => [...document.querySelectorAll(selector)];
const controls = () => all(".controls input, .controls select, .controls output, .more-columns input");
const nameOf = (control) => control.id || control.dataset.of || `${control.name}=${control.value}`;
const isCheckable = (control) => control.type === "checkbox" || control.type === "radio";
const chartOf = (figure) => figure.dataset.chart ?? `${figure.dataset.quantity}/${figure.dataset.split}`;
const heads = (table) => [...table.tHead.rows[0].cells];

function saveState() {
  const anchor = all("h2[id]").filter((heading) => heading.getBoundingClientRect().top < innerHeight / 2).at(-1);
  history.scrollRestoration = "manual"; // the browser would scroll before the charts have their heights
  history.replaceState({
    controls: Object.fromEntries(controls().map((control) => [nameOf(control), isCheckable(control) ? control.checked : control.value])),
    heights: Object.fromEntries(all("figure.chart").map((figure) => [chartOf(figure), figure.offsetHeight])),
    hidden: all('.legend button[aria-pressed="false"]').map((button) => button.dataset.label),
    whole: all(".legend").map((legend) => legend.classList.contains("whole")),
    open: all("main details[open] > summary").map((summary) => summary.textContent),
    anchor: anchor && { id: anchor.id, top: anchor.getBoundingClientRect().top },
    sorted: all("table.results").map((table) => heads(table).map((head) => head.getAttribute("aria-sort"))),
  }, "");
}

const saved = history.state;

if (saved) {
  for (const control of controls()) {
    const value = saved.controls[nameOf(control)];
    if (value !== undefined) control[isCheckable(control) ? "checked" : "value"] = value;
  }
  for (const button of all(".legend button")) button.setAttribute("aria-pressed", String(!saved.hidden.includes(button.dataset.label)));
  all(".legend").forEach((legend, i) => legend.classList.toggle("whole", saved.whole[i] ?? false));
  for (const summary of all("main details > summary")) summary.parentElement.open = saved.open.includes(summary.textContent);
  for (const figure of all("figure.chart")) figure.style.minHeight = `${saved.heights[chartOf(figure)] ?? 0}px`; // until the chart is drawn

  const scrollToAnchor = () => {
    const anchor = saved.anchor && document.getElementById(saved.anchor.id);
    if (anchor) scrollBy(0, anchor.getBoundingClientRect().top - saved.anchor.top);
  };

  addEventListener("load", async () => {
    all("table.results").forEach((table, i) => {
      const at = saved.sorted[i]?.findIndex((order) => order === "ascending" || order === "descending") ?? -1;
      const button = heads(table)[at]?.querySelector("button");
      button?.click();
      if (saved.sorted[i]?.[at] === "descending") button?.click();
    });
    scrollToAnchor();
    await drawn;
    for (const select of all(".controls select")) select.dispatchEvent(new Event("change"));
    for (const figure of all("figure.chart")) figure.style.minHeight = "";
    scrollToAnchor();
    history.replaceState(null, "");
    addEventListener("pagehide", () => {
      if (!history.state) history.scrollRestoration = "auto"; // a reload by the reader, not by the page
    });
  });
}
