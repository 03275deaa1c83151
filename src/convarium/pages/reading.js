// A page that has loaded itself again finds itself as its reader left it: `keep` before, and the rest of this after.
"use strict";

const all = (selector) => [...document.querySelectorAll(selector)];
const controls = () => all(".controls input, .controls select, .controls output");
const nameOf = (control) => control.id || control.dataset.of || `${control.name}=${control.value}`;
const isTicked = (control) => control.type === "checkbox" || control.type === "radio";
const chartOf = (figure) => figure.dataset.chart ?? `${figure.dataset.quantity}/${figure.dataset.split}`;
const heads = (table) => [...table.tHead.rows[0].cells];

function keep() {
  const place = all("h2[id]").filter((heading) => heading.getBoundingClientRect().top < innerHeight / 2).at(-1);
  history.scrollRestoration = "manual"; // the browser's own comes before the charts have their height
  history.replaceState({
    controls: Object.fromEntries(controls().map((control) => [nameOf(control), isTicked(control) ? control.checked : control.value])),
    heights: Object.fromEntries(all("figure.chart").map((figure) => [chartOf(figure), figure.offsetHeight])),
    hidden: all('.legend button[aria-pressed="false"]').map((button) => button.dataset.label),
    open: all("main details[open] > summary").map((summary) => summary.textContent),
    place: place && { id: place.id, top: place.getBoundingClientRect().top },
    sorted: all("table.results").map((table) => heads(table).map((head) => head.getAttribute("aria-sort"))),
  }, "");
}

const left = history.state;

if (left) {
  for (const control of controls()) {
    const value = left.controls[nameOf(control)];
    if (value !== undefined) control[isTicked(control) ? "checked" : "value"] = value;
  }
  for (const button of all(".legend button")) button.setAttribute("aria-pressed", String(!left.hidden.includes(button.dataset.label)));
  for (const summary of all("main details > summary")) summary.parentElement.open = left.open.includes(summary.textContent);
  for (const figure of all("figure.chart")) figure.style.minHeight = `${left.heights[chartOf(figure)] ?? 0}px`; // until drawn

  const toPlace = () => {
    const place = left.place && document.getElementById(left.place.id);
    if (place) scrollBy(0, place.getBoundingClientRect().top - left.place.top);
  };

  addEventListener("load", async () => {
    all("table.results").forEach((table, i) => {
      const at = left.sorted[i]?.findIndex((order) => order === "ascending" || order === "descending") ?? -1;
      const button = heads(table)[at]?.querySelector("button");
      button?.click();
      if (left.sorted[i]?.[at] === "descending") button?.click();
    });
    toPlace();
    await drawn;
    for (const select of all("select[data-sets]")) select.dispatchEvent(new Event("change"));
    for (const figure of all("figure.chart")) figure.style.minHeight = "";
    toPlace();
    history.replaceState(null, "");
    addEventListener("pagehide", () => {
      if (!history.state) history.scrollRestoration = "auto"; // the reader loads it again, and not the page itself
    });
  });
}
