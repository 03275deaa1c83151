"use strict";
// What a residual block adds to its shortcut, and the shortcuts that can be taken away.

const Blocks = (() => {
  const { words } = Play;
  const { element } = Stages;

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

  // Switches for the blocks of a network whose shortcut can be taken away; `without` is changed, and `onChange` called.
  function switches(network, without, onChange) {
    const sums = network.operations.flatMap((operation, i) => "shortcut" in operation ? [i] : []);
    const box = element("p", { className: "tools small", hidden: !sums.length });
    if (!sums.length) return box;
    const all = element("button", { type: "button", textContent: without.size ? words.all_back : words.all_away });
    all.addEventListener("click", () => {
      if (without.size) without.clear(); else sums.forEach((i) => without.add(i));
      onChange();
    });
    box.append(element("span", { textContent: words.without_shortcut }), all);
    sums.forEach((i, n) => {
      const input = element("input", { type: "checkbox", checked: without.has(i) });
      input.addEventListener("change", () => { if (input.checked) without.add(i); else without.delete(i); onChange(); });
      box.append(element("label", {}, input, fill(words.block_number, { n: n + 1 })));
    });
    return box;
  }

  return { picture: blockPicture, switches };
})();
