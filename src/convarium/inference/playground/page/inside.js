"use strict";
// A network as a row of stages, each with its feature maps; one opened stage shows its operations, where a pixel comes
// from, and what a block adds to its shortcut.

const Inside = (() => {
  const { words, classes, networks } = Play;
  const walks = document.getElementById("walks");
  const selects = ["inside-first", "inside-second"].map((id) => document.getElementById(id));
  const state = { inputs: null, opened: [null, null], without: [new Set(), new Set()], version: 0, isVisible: false };
  const MOST_MAPS = 16;

  // Members are single networks: a network of the study, with one of its seeds or epochs.
  function choices(select, first) {
    const kept = select.value;
    select.replaceChildren();
    if (!first) select.add(new Option(words.nothing_beside, ""));
    networks.forEach((network) => network.members.forEach((member, i) => {
      select.add(new Option(network.members.length > 1 ? `${network.label}, ${network.member_names[i]}` : network.label, member));
    }));
    select.value = kept || (first ? String(networks[0].members[0]) : "");
  }

  // Operations that belong together: a numbered part of the network, such as a block, or one layer with what follows it.
  function stagesOf(network) {
    const found = [];
    network.operations.forEach((operation, i) => {
      const parts = operation.module.split("."), at = parts.findIndex((part) => /^\d+$/.test(part));
      const key = parts.slice(0, at < 0 ? 1 : at + 1).join(".");
      const last = found.at(-1);
      const follows = last && ["norm", "relu", "leaky_relu", "prelu", "elu", "gelu", "silu", "tanh", "sigmoid", "clamp"]
        .includes(operation.name) && last.operations.length === 1 && operation.inputs[0] === i;
      if (last && (last.key === key || follows)) last.operations.push(i);
      else found.push({ key, operations: [i] });
    });
    let blocks = 0;
    for (const stage of found) {
      if (stage.operations.some((i) => "shortcut" in network.operations[i])) stage.block = ++blocks;
    }
    return found;
  }

  function describe(network, index) {
    const operation = network.operations[index], before = network.shapes[operation.inputs[0]];
    const s = operation.settings, name = words.operations[operation.name] || operation.name;
    if (operation.name === "conv2d") {
      const [, , tall, wide] = operation.weightShape, stride = Math.max(...s.stride);
      return `${name} ${tall}×${wide}, ${before[0]} → ${operation.shape[0]}${stride > 1 ? `, ↓${stride}` : ""}`;
    }
    if (operation.name === "linear") return `${name}, ${before[0]} → ${operation.shape[0]}`;
    if (s && s.kernel) return `${name} ${s.kernel[0]}×${s.kernel[1]}`;
    return name;
  }

  function title(network, stage) {
    const main = stage.operations.filter((i) => ["conv2d", "linear"].includes(network.operations[i].name));
    if (stage.block) return fill(words.block_number, { n: stage.block });
    if (main.length > 1) return fill(words.part, { name: stage.key });
    return describe(network, main.length ? main[0] : stage.operations.at(-1));
  }

  // The picture of a value: channels side by side, or the values of a vector as a strip.
  function maps(values, shape, most, label) {
    const colors = Pictures.scale(values);
    if (shape.length === 1) {
      const columns = Math.ceil(Math.sqrt(shape[0] * 2.2)), rows = Math.ceil(shape[0] / columns);
      const padded = new Float32Array(rows * columns);
      padded.set(values);
      const strip = Pictures.plane(Pictures.canvas(1, 1, label), padded, 0, rows, columns, colors);
      strip.className = "strip";
      return [strip];
    }
    const [channels, height, width] = shape;
    return Array.from({ length: Math.min(channels, most) }, (_, c) => {
      const made = Pictures.canvas(width, height, fill(words.channel, { n: c }));
      return Pictures.plane(made, values, c * height * width, height, width, colors);
    });
  }

  function shapeText(shape) { return shape.length === 1 ? fill(words.values, { n: shape[0] }) : shape.join(" × "); }

  function number(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    return (size >= 1000 || size < 0.001 ? value.toExponential(1) : value.toPrecision(3)).replace("-", "−");
  }

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  async function walk(side, member) {
    const network = Engine.network(member), without = state.without[side], mine = state.version;
    const values = await Engine.values(member, state.inputs[Play.formOf(member)], [...without]);
    if (mine !== state.version) return null;
    const root = element("div", { className: "walk" });
    const label = selects[side].selectedOptions[0].textContent;
    root.append(element("h3", { textContent: label }));
    const row = element("div", { className: "stages" });
    const detail = element("div", { className: "detail", hidden: true });
    row.setAttribute("role", "group"); row.setAttribute("aria-label", fill(words.stages_of, { network: label }));
    const first = { key: "image", operations: [], value: 0 };
    const stages = [first, ...stagesOf(network)];
    stages.forEach((stage, n) => {
      const value = stage.operations.length ? stage.operations.at(-1) + 1 : 0;
      const button = element("button", { type: "button", className: "stage" });
      button.append(
        element("strong", { textContent: n ? title(network, stage) : words.normalized }),
        element("span", { textContent: shapeText(network.shapes[value]) }),
        element("div", { className: "maps" }, ...maps(values[value], network.shapes[value], MOST_MAPS, words.values_shown)),
      );
      const count = network.shapes[value].length === 1 ? 1 : network.shapes[value][0];
      button.querySelector(".maps").style.gridTemplateColumns = `repeat(${count === 1 ? 1 : count <= 4 ? 2 : 4}, 1fr)`;
      button.setAttribute("aria-expanded", String(state.opened[side] === n));
      button.addEventListener("click", () => {
        state.opened[side] = state.opened[side] === n ? null : n;
        for (const other of row.children) other.setAttribute("aria-expanded", "false");
        button.setAttribute("aria-expanded", String(state.opened[side] === n));
        open(side, detail, network, values, stages[n], state.opened[side] === n);
      });
      row.append(button);
    });
    row.append(answer(values.at(-1)));
    root.append(row, switches(side, network), detail);
    if (state.opened[side] !== null) open(side, detail, network, values, stages[state.opened[side]], true);
    return root;
  }

  function answer(logits) {
    const shares = Interpreter.softmax(logits), best = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, 5);
    const box = element("div", { className: "stage" });
    const list = element("table", { className: "bars" });
    for (const c of best) {
      const track = element("div", { className: "track" }), bar = element("b");
      bar.style.width = `${100 * shares[c]}%`;
      track.append(bar);
      list.append(element("tr", {}, element("th", { scope: "row", textContent: classes[c] }), element("td", {}, track)));
    }
    box.append(element("strong", { textContent: words.softmax }), element("span", { textContent: words.softmax_why }), list);
    return box;
  }

  // Blocks whose shortcut can be taken away.
  function switches(side, network) {
    const sums = network.operations.flatMap((operation, i) => "shortcut" in operation ? [i] : []);
    const box = element("p", { className: "tools small", hidden: !sums.length });
    if (!sums.length) return box;
    const without = state.without[side];
    box.append(element("span", { textContent: words.without_shortcut }));
    const all = element("button", { type: "button", textContent: without.size ? words.all_back : words.all_away });
    all.addEventListener("click", () => {
      if (without.size) without.clear(); else sums.forEach((i) => without.add(i));
      refresh();
    });
    box.append(all);
    sums.forEach((i, n) => {
      const input = element("input", { type: "checkbox", checked: without.has(i) });
      input.addEventListener("change", () => { if (input.checked) without.add(i); else without.delete(i); refresh(); });
      box.append(element("label", {}, input, fill(words.block_number, { n: n + 1 })));
    });
    return box;
  }

  function open(side, detail, network, values, stage, isOpen) {
    detail.hidden = !isOpen;
    if (!isOpen) return;
    const sum = element("div", { className: "sum", hidden: true });
    sum.setAttribute("aria-live", "polite");
    const parts = [];
    const block = stage.operations.find((i) => "shortcut" in network.operations[i]);
    if (block !== undefined) parts.push(blockPicture(network, values, block, state.without[side].has(block)));
    if (!stage.operations.length) parts.push(operationPicture(network, values, -1, sum));
    for (const i of stage.operations.slice(0, 60)) parts.push(operationPicture(network, values, i, sum));
    detail.replaceChildren(element("p", { className: "small soft", textContent: words.detail_lead }), sum, ...parts);
  }

  // x, F(x) and what is made of them, channel by channel.
  function blockPicture(network, values, index, isWithout) {
    const operation = network.operations[index], shortcut = operation.inputs[operation.shortcut];
    const residual = operation.inputs[1 - operation.shortcut], shape = operation.shape;
    const all = new Float32Array([...values[shortcut], ...values[residual], ...values[index + 1]]);
    const colors = Pictures.scale(all), box = element("div", {});
    const slider = element("input", { type: "range", min: 0, max: shape[0] - 1, step: 1, value: 0 });
    const row = element("div", { className: "block" });
    const pieces = [["x", shortcut], ["F(x)", residual], [isWithout ? "F(x)" : "x + F(x)", index + 1]].map(([name, value]) => {
      const canvas = Pictures.canvas(1, 1, name);
      return { canvas, value, figure: element("figure", {}, canvas, element("figcaption", { textContent: name })) };
    });
    const draw = () => pieces.forEach(({ canvas, value }) => {
      const [, height, width] = shape.length === 3 ? shape : [1, 1, shape[0]];
      const start = shape.length === 3 ? slider.value * height * width : 0;
      Pictures.plane(canvas, values[value], start, height, width, colors);
    });
    slider.addEventListener("input", draw);
    if (isWithout) pieces[0].figure.style.opacity = 0.3;
    row.append(pieces[0].figure, element("span", { className: "sign", textContent: isWithout ? "✕" : "+" }), pieces[1].figure,
      element("span", { className: "sign", textContent: "=" }), pieces[2].figure);
    const label = element("label", { className: "small" }, words.channel_slider, slider);
    box.append(element("p", { className: "small", textContent: words.block_why }), row, label);
    draw();
    return box;
  }

  function operationPicture(network, values, index, sum) {
    const value = index + 1, shape = network.shapes[value], box = element("div", { className: "operation" });
    const name = index < 0 ? words.normalized : describe(network, index);
    box.append(element("p", { className: "small" }, element("strong", { textContent: name }), ` · ${shapeText(shape)}`,
      ...(index >= 0 && network.operations[index].module ? [element("code", { className: "soft", textContent: ` ${network.operations[index].module}` })] : [])));
    if (index >= 0 && network.operations[index].name === "conv2d" && network.operations[index].inputs[0] === 0) box.append(filters(network.operations[index]));
    const drawn = maps(values[value], shape, 64, name);
    const wide = element("div", { className: shape.length === 3 ? "wide" : "" }, ...drawn);
    if (shape.length === 3 && index >= 0) {
      drawn.forEach((canvas, c) => watch(canvas, shape, (y, x) => explain(network, values, index, c, y, x, sum)));
    }
    box.append(wide);
    return box;
  }

  function filters(operation) {
    const [count, channels, tall, wide] = operation.weightShape, { weight } = operation.tensors;
    const most = weight.reduce((a, b) => Math.max(a, Math.abs(b)), 0), area = tall * wide;
    const made = Array.from({ length: Math.min(count, 64) }, (_, f) => {
      const part = weight.subarray(f * channels * area, (f + 1) * channels * area);
      const canvas = Pictures.canvas(wide, tall, fill(words.filter, { n: f }));
      return channels === 3 ? Pictures.image(canvas, part, [3, tall, wide], -most, most)
        : Pictures.plane(canvas, part, 0, tall, wide, Pictures.inGray(-most, most));
    });
    return element("div", {}, element("p", { className: "small soft", textContent: words.filters_why }),
      element("div", { className: "wide" }, ...made));
  }

  // Calls visit(y, x) for the pixel under the pointer, or moved to by the arrow keys.
  function watch(canvas, [, height, width], visit) {
    let at = [Math.floor(height / 2), Math.floor(width / 2)];
    canvas.tabIndex = 0;
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      at = [Math.floor((event.clientY - box.top) / box.height * height), Math.floor((event.clientX - box.left) / box.width * width)];
      at = at.map((value, i) => Math.min(Math.max(value, 0), [height, width][i] - 1));
      visit(...at);
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) visit(...at); });
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!move) return;
      event.preventDefault();
      at = at.map((value, i) => Math.min(Math.max(value + move[i], 0), [height, width][i] - 1));
      visit(...at);
    });
  }

  // Where one pixel comes from: its window in the value before, and for a convolution kernel × window, summed.
  function explain(network, values, index, channel, y, x, sum) {
    const operation = network.operations[index], value = values[index + 1], [, height, width] = operation.shape;
    const result = value[(channel * height + y) * width + x], terms = element("div", { className: "terms" });
    const head = fill(words.pixel, { y, x, channel, operation: describe(network, index) });
    let text = `${head} = ${number(result)}`;
    const shapes = operation.inputs.map((input) => network.shapes[input]);
    if (operation.name === "conv2d") {
      const { stride, padding, dilation, groups } = operation.settings, [filtersCount, channels, tall, wide] = operation.weightShape;
      const first = Math.floor(channel / (filtersCount / groups)) * channels, [, rows, columns] = shapes[0];
      const all = Array.from({ length: channels }, (_, c) => {
        const kernel = operation.tensors.weight.subarray((channel * channels + c) * tall * wide, (channel * channels + c + 1) * tall * wide);
        const window = new Float32Array(tall * wide);
        let term = 0;
        for (let i = 0; i < tall; i++) {
          for (let j = 0; j < wide; j++) {
            const inY = y * stride[0] - padding[0] + i * dilation[0], inX = x * stride[1] - padding[1] + j * dilation[1];
            if (inY >= 0 && inY < rows && inX >= 0 && inX < columns) {
              window[i * wide + j] = values[operation.inputs[0]][((first + c) * rows + inY) * columns + inX];
            }
            term += window[i * wide + j] * kernel[i * wide + j];
          }
        }
        return { c: first + c, kernel, window, term };
      });
      const bias = operation.tensors.bias ? operation.tensors.bias[channel] : 0;
      const total = all.reduce((a, b) => a + b.term, 0);
      text += `: ${fill(words.sum, { n: channels, sum: number(total), bias: number(bias) })}`;
      const largest = [...all].sort((a, b) => Math.abs(b.term) - Math.abs(a.term)).slice(0, 6);
      const windowColors = Pictures.scale(values[operation.inputs[0]]), kernelColors = Pictures.scale(operation.tensors.weight);
      const box = [y * stride[0] - padding[0], x * stride[1] - padding[1], (tall - 1) * dilation[0] + 1, (wide - 1) * dilation[1] + 1];
      for (const { c, kernel, window, term } of largest) {
        terms.append(element("figure", {},
          framed(values[operation.inputs[0]], shapes[0], c, windowColors, box),
          Pictures.plane(Pictures.canvas(1, 1, words.window), window, 0, tall, wide, windowColors), "×",
          Pictures.plane(Pictures.canvas(1, 1, words.kernel), kernel, 0, tall, wide, kernelColors),
          element("figcaption", { textContent: `= ${number(term)}` })));
      }
    } else if (operation.name.includes("pool")) {
      let box = null;
      Interpreter.eachPool(operation, shapes[0], (output, y0, y1, x0, x1) => {
        if (output === (channel * height + y) * width + x) box = [y0, x0, y1 - y0, x1 - x0];
      });
      terms.append(element("figure", {}, framed(values[operation.inputs[0]], shapes[0], channel, Pictures.scale(values[operation.inputs[0]]), box)));
    } else if (operation.inputs.every((_, i) => shapes[i].join() === operation.shape.join())) {
      const inputs = operation.inputs.map((input) => number(values[input][(channel * height + y) * width + x]));
      text += ` ← ${inputs.join(" , ")}`;
    }
    sum.replaceChildren(element("p", { textContent: text }), terms);
    sum.hidden = false;
  }

  // One channel with a frame around a window of it.
  function framed(values, [, height, width], channel, colors, [top, left, tall, wide]) {
    const small = Pictures.plane(Pictures.canvas(1, 1), values, channel * height * width, height, width, colors);
    const factor = Math.max(1, Math.floor(128 / Math.max(height, width)));
    const made = Pictures.canvas(width * factor, height * factor, words.window), context = made.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, made.width, made.height);
    context.strokeStyle = "#d55e00"; context.lineWidth = 3;
    context.strokeRect(left * factor + 1, top * factor + 1, wide * factor - 2, tall * factor - 2);
    return made;
  }

  async function refresh() {
    state.version++;
    if (!state.inputs || !state.isVisible) return;
    const sides = selects.flatMap((select, i) => select.value === "" ? [] : [[i, Number(select.value)]]);
    const made = [];
    for (const [side, member] of sides) {
      const root = await walk(side, member);
      if (!root) return;
      made.push(root);
    }
    const scrolls = [...walks.querySelectorAll(".stages")].map((row) => row.scrollLeft);
    walks.replaceChildren(...made);
    [...walks.querySelectorAll(".stages")].forEach((row, i) => { row.scrollLeft = scrolls[i] || 0; });
  }

  selects.forEach((select, i) => {
    choices(select, i === 0);
    select.addEventListener("change", () => { state.opened[i] = null; state.without[i].clear(); refresh(); Why.choose(selects); });
  });
  new IntersectionObserver((entries) => {
    state.isVisible = entries.some((entry) => entry.isIntersecting);
    if (state.isVisible) refresh();
  }, { rootMargin: "300px" }).observe(document.getElementById("inside"));

  return {
    set: (inputs) => { state.inputs = inputs; if (inputs) refresh(); else walks.replaceChildren(); },
    show: (i) => {
      selects[0].value = String(networks[i].members[0]);
      selects[0].dispatchEvent(new Event("change"));
      document.getElementById("inside").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    },
    rename: () => selects.forEach((select, i) => choices(select, i === 0)),
    selected: () => selects.map((select) => select.value === "" ? null : Number(select.value)),
    without: () => state.without,
  };
})();
