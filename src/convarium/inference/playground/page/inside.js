"use strict";
// One network, or two beside each other, as rows of stages, each with its feature maps. What is opened, scrolled and
// pointed at in one is opened, scrolled and pointed at in the other too, where it has the same.

const Inside = (() => {
  const { words, classes, networks } = Play;
  const { element, stagesOf, describe, title, maps, shapeText, firstLayer, largest, filters } = Stages;
  const walks = document.getElementById("walks"), details = document.getElementById("details");
  const state = { inputs: null, label: null, version: 0, isVisible: false };
  const MOST_MAPS = 16, MOST_CHANNELS = 64, MOST_OPERATIONS = 60, MOST_FILTERS = 64;
  const sides = ["first", "second"].map((name) => ({
    select: document.getElementById(`inside-${name}`),
    panel: Training.panel(document.getElementById(`training-${name}`), () => refresh(true)),
    opened: null, // the number of the opened stage
    without: new Set(), // sums whose shortcut is taken away
    shown: null, // what is drawn: {network, values, stages, row, detail, views, sum}
    mark: element("div", { className: "mark" }),
  }));

  // The seeds of every network of the study.
  function choices(side, isFirst) {
    const kept = side.select.value;
    side.select.replaceChildren();
    if (!isFirst) side.select.add(new Option(words.nothing_beside, ""));
    networks.forEach((network) => network.members.forEach((member) => side.select.add(new Option(Play.labelOf(member), member))));
    side.select.value = kept || (isFirst ? String(networks[0].members[0]) : "");
  }

  const memberOf = (side) => side.panel.member() ?? (side.select.value === "" ? null : Number(side.select.value));

  function walk(side, member, values) {
    const network = Engine.network(member), label = Play.labelOf(member, true);
    const stages = [{ key: "image", operations: [] }, ...stagesOf(network)].map((stage, n) => {
      const value = stage.operations.length ? stage.operations.at(-1) + 1 : 0;
      return { ...stage, value, shape: network.shapes[value], title: n ? title(network, stage) : words.normalized };
    });
    const row = element("div", { className: "stages" });
    const detail = element("div", { className: "detail", hidden: true });
    row.setAttribute("role", "group"); row.setAttribute("aria-label", fill(words.stages_of, { network: label }));
    detail.setAttribute("role", "group"); detail.setAttribute("aria-label", label);
    stages.forEach(({ value, shape, title: name }, n) => {
      const pictures = element("div", { className: "maps" }, ...maps(values[value], shape, MOST_MAPS, words.values_shown));
      const count = shape.length === 1 ? 1 : shape[0];
      pictures.style.gridTemplateColumns = `repeat(${count === 1 ? 1 : count <= 4 ? 2 : 4}, 1fr)`;
      const button = element("button", { type: "button", className: "stage" },
        element("strong", { textContent: name }), element("span", { textContent: shapeText(shape) }), pictures);
      button.addEventListener("click", () => toggle(side, n));
      row.append(button);
    });
    row.append(answer(values.at(-1)));
    row.addEventListener("scroll", () => follow(side), { passive: true });
    side.shown = { network, values, stages, row, detail, views: [], sum: null, label };
    return element("div", { className: "walk" }, element("h3", { textContent: label }), row,
      Blocks.switches(network, side.without, () => refresh()));
  }

  function answer(logits) {
    const shares = Interpreter.softmax(logits), best = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, 5);
    const list = element("table", { className: "bars", ariaLabel: words.softmax });
    for (const c of best) {
      const track = element("div", { className: "track" }), bar = element("b");
      bar.style.width = `${100 * shares[c]}%`;
      track.append(bar);
      list.append(element("tr", {}, element("th", { scope: "row", textContent: classes[c] }), element("td", {}, track),
        element("td", { className: "share", textContent: `${Math.round(100 * shares[c])} %` })));
    }
    return element("div", { className: "stage" }, element("strong", { textContent: words.softmax }),
      element("span", { textContent: words.softmax_why }), list);
  }

  const shown = () => sides.filter((side) => side.shown);
  const other = (side) => shown().find((one) => one !== side);

  // The stage of another network that corresponds to a stage: the same one of the same architecture; otherwise the
  // nearest whose values have the same shape; null where there is none.
  function counterpart(from, n, to) {
    const stage = from.shown.stages[n], theirs = to.shown.stages, twin = theirs[n];
    const isAlike = (one) => one.shape.join() === stage.shape.join();
    if (twin && twin.title === stage.title && isAlike(twin)) return n;
    const place = n / from.shown.stages.length, distance = (i) => Math.abs(i / theirs.length - place);
    return [...theirs.keys()].filter((i) => isAlike(theirs[i])).sort((a, b) => distance(a) - distance(b))[0] ?? null;
  }

  function toggle(side, n) {
    side.opened = side.opened === n ? null : n;
    const beside = other(side);
    if (beside) beside.opened = side.opened === null ? null : counterpart(side, n, beside);
    shown().forEach(open);
  }

  // Draws what the opened stage of one side is made of.
  function open(side) {
    const { network, values, stages, row, detail, label } = side.shown, stage = stages[side.opened];
    [...row.querySelectorAll("button")].forEach((button, n) => button.setAttribute("aria-expanded", String(n === side.opened)));
    detail.hidden = !stage;
    side.shown.views = [];
    side.mark.remove();
    if (!stage) return;
    const sum = side.shown.sum = element("div", { className: "sum", hidden: true });
    sum.setAttribute("aria-live", "polite");
    const block = stage.operations.find((i) => "shortcut" in network.operations[i]);
    const parts = block === undefined ? [] : [Blocks.picture(network, values, block, side.without.has(block))];
    for (const i of stage.operations.length ? stage.operations.slice(0, MOST_OPERATIONS) : [-1]) parts.push(operationPicture(side, i));
    const lead = shown().length > 1 ? [element("h4", { textContent: `${label} · ${stage.title}` })] : [];
    detail.replaceChildren(...lead, element("p", { className: "small soft", textContent: words.detail_lead }), sum, ...parts);
  }

  function operationPicture(side, index) {
    const { network, values, views } = side.shown;
    const value = index + 1, shape = network.shapes[value], box = element("div", { className: "operation" });
    const operation = network.operations[index], name = operation ? describe(network, index) : words.normalized;
    box.append(element("p", { className: "small" }, element("strong", { textContent: name }), ` · ${shapeText(shape)}`,
      ...(operation && operation.module ? [element("code", { className: "soft", textContent: ` ${operation.module}` })] : [])));
    if (operation && operation === firstLayer(network)) {
      box.append(element("p", { className: "small soft", textContent: words.filters_why }),
        element("div", { className: "wide" }, ...filters(network, operation, MOST_FILTERS, largest(operation))));
    }
    const drawn = maps(values[value], shape, MOST_CHANNELS, name);
    box.append(element("div", { className: shape.length === 3 ? "wide" : "" }, ...drawn));
    if (shape.length === 3 && operation) {
      const view = { place: views.length, index, shape, drawn };
      views.push(view);
      drawn.forEach((canvas, c) => Pixels.watch(canvas, shape, (y, x) => point(side, view, c, y, x)));
    }
    return box;
  }

  // Explains a pixel, and the same pixel of the network beside it, where that has one.
  function point(side, view, c, y, x) {
    const explained = (one, at) => {
      mark(one, at.drawn[c], at.shape, y, x);
      Pixels.explain(one.shown.network, one.shown.values, at.index, c, y, x, one.shown.sum);
    };
    explained(side, view);
    const beside = other(side);
    if (!beside) return;
    const fits = (at) => at.shape[1] === view.shape[1] && at.shape[2] === view.shape[2] && c < at.drawn.length;
    const twins = beside.shown.views.filter(fits);
    const twin = twins.find((at) => at.place === view.place) || twins[0];
    if (twin) explained(beside, twin);
  }

  function mark({ mark: box }, canvas, [, height, width], y, x) {
    canvas.parentElement.append(box);
    const across = canvas.offsetWidth / width, down = canvas.offsetHeight / height;
    box.style.left = `${canvas.offsetLeft + x * across}px`; box.style.top = `${canvas.offsetTop + y * down}px`;
    box.style.width = `${across}px`; box.style.height = `${down}px`;
  }

  // Two rows of the same architecture scroll together.
  function follow(side) {
    const beside = other(side);
    if (!beside || beside.shown.row.scrollWidth !== side.shown.row.scrollWidth) return;
    if (beside.shown.row.scrollLeft !== side.shown.row.scrollLeft) beside.shown.row.scrollLeft = side.shown.row.scrollLeft;
  }

  // `isEpoch`: only another epoch was chosen, so that what was said after each stays as it is.
  async function refresh(isEpoch = false) {
    const mine = ++state.version;
    if (!state.inputs || !state.isVisible) return;
    const found = [];
    for (const side of sides) {
      const member = memberOf(side);
      if (member === null) continue;
      const values = await Engine.values(member, state.inputs[Play.formOf(member)], [...side.without],
        () => mine !== state.version);
      if (mine !== state.version) return;
      found.push({ side, member, values });
    }
    const scrolls = sides.map((side) => side.shown ? side.shown.row.scrollLeft : 0);
    for (const side of sides) side.shown = null;
    walks.replaceChildren(...found.map(({ side, member, values }) => walk(side, member, values)));
    details.replaceChildren(...shown().map((side) => side.shown.detail));
    sides.forEach((side, i) => { if (side.shown) side.shown.row.scrollLeft = scrolls[i]; });
    shown().forEach(open);
    document.body.dataset.inside = mine;
    if (isEpoch) { Why.choose(); return; }
    for (const { side } of found) await side.panel.ask(state.inputs, [...side.without], state.label);
  }

  // Another network on one side. A network beside itself begins with other weights: those of the first epoch.
  function change(side) {
    side.opened = null; side.without.clear();
    const seed = side.select.value === "" ? null : Number(side.select.value), beside = sides.find((one) => one !== side);
    const isTwin = side === sides[1] && seed !== null && side.select.value === beside.select.value && beside.panel.place() > 0;
    side.panel.choose(seed, isTwin ? 0 : null);
    if (seed !== null && beside.shown && beside.opened !== null) beside.opened = null;
    refresh();
    Why.choose();
  }

  sides.forEach((side, i) => {
    choices(side, i === 0);
    side.select.addEventListener("change", () => change(side));
  });
  sides[0].panel.choose(Number(sides[0].select.value));
  new IntersectionObserver((entries) => {
    state.isVisible = entries.some((entry) => entry.isIntersecting);
    if (state.isVisible) refresh(); else sides.forEach((side) => side.panel.stop());
  }, { rootMargin: "300px" }).observe(document.getElementById("inside"));

  return {
    // `label`: the true class, or null.
    set: (inputs, label = null) => {
      state.inputs = inputs; state.label = label;
      if (inputs) { refresh(); return; }
      state.version++;
      for (const side of sides) { side.shown = null; side.panel.ask(null, [], null); }
      walks.replaceChildren(); details.replaceChildren();
    },
    show: (i) => {
      sides[0].select.value = String(networks[i].members[0]);
      change(sides[0]);
      document.getElementById("inside").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    },
    rename: () => { sides.forEach((side, i) => choices(side, i === 0)); refresh(); },
    selected: () => sides.map(memberOf),
    without: () => sides.map((side) => side.without),
  };
})();
