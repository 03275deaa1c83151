"use strict";
// Where one pixel of a stage comes from: its window in the value before, and kernel × window, summed.

const Pixels = (() => {
  const { words } = Play;
  const { describe, number, element } = Stages;

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

  return { watch, explain };
})();
