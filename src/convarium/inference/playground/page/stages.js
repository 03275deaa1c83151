"use strict";
// A network in stages, and the pictures of their values.

const Stages = (() => {
  const { words } = Play;

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

  // An element of the page with its properties and children.
  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // The layer that reads the image: a convolution, or the linear layer of an MLP; null where there is none such.
  function firstLayer(network) {
    const found = network.operations.find((operation) => operation.weightShape);
    const area = network.image.reduce((a, b) => a * b);
    if (!found) return null;
    if (found.name === "conv2d") return found.inputs[0] === 0 ? found : null;
    return found.weightShape[1] === area ? found : null;
  }

  const largest = (operation) => operation.tensors.weight.reduce((a, b) => Math.max(a, Math.abs(b)), 0);

  // The filters of a first layer: gray is 0, and `most` is white.
  function filters(network, operation, count, most) {
    const [channels, tall, wide] = operation.name === "conv2d" ? operation.weightShape.slice(1) : network.image;
    const { weight } = operation.tensors, size = channels * tall * wide;
    return Array.from({ length: Math.min(operation.weightShape[0], count) }, (_, f) => {
      const part = weight.subarray(f * size, (f + 1) * size);
      const canvas = Pictures.canvas(wide, tall, fill(words.filter, { n: f }));
      return channels === 3 ? Pictures.image(canvas, part, [3, tall, wide], -most, most)
        : Pictures.plane(canvas, part, 0, tall, wide, Pictures.inGray(-most, most));
    });
  }

  return { firstLayer, largest, filters, stagesOf, describe, title, maps, shapeText, number, element };
})();
