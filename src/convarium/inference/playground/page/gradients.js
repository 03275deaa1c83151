"use strict";
// The gradient of a logit with respect to every value of a network, and what is made of it: saliency and Grad-CAM.
// Needs interpreter.js.

const Gradients = (() => {
  const {
    product, transposed, eachOfWindows, eachPool, divisor, largest, eachPadded, eachSliced, sigmoid, normalShare,
    tanhShare,
  } = Interpreter;

  function conv2d(operation, [input], out, gradient, [into], [inputShape]) {
    const { groups } = operation.settings, { weight } = operation.tensors;
    const channels = operation.shape[0], pixels = out.length / channels, filters = channels / groups;
    const inner = weight.length / channels, part = input.length / groups;
    for (let g = 0; g < groups; g++) {
      const kernels = transposed(weight.subarray(g * filters * inner, (g + 1) * filters * inner), filters, inner);
      const outer = transposed(gradient.subarray(g * filters * pixels, (g + 1) * filters * pixels), filters, pixels);
      const matrix = new Float32Array(pixels * inner);
      product(kernels, outer, inner, pixels, filters, matrix, 1, inner);
      const plane = into.subarray(g * part, (g + 1) * part);
      eachOfWindows(operation, inputShape, (column, pixel) => { plane[pixel] += matrix[column]; });
    }
  }

  function linear(operation, [input], out, gradient, [into]) {
    const weight = operation.tensors.weight, columns = input.length;
    for (let i = 0; i < out.length; i++) {
      if (gradient[i]) for (let j = 0; j < columns; j++) into[j] += gradient[i] * weight[i * columns + j];
    }
  }

  function norm(operation, inputs, out, gradient, [into]) {
    const { scale } = operation.tensors, pixels = out.length / scale.length;
    for (let i = 0; i < out.length; i++) into[i] += gradient[i] * scale[Math.floor(i / pixels)];
  }

  function prelu(operation, [input], out, gradient, [into]) {
    const { slope } = operation.tensors, pixels = out.length / slope.length;
    for (let i = 0; i < out.length; i++) into[i] += gradient[i] * (input[i] > 0 ? 1 : slope[Math.floor(i / pixels)]);
  }

  // derivative(x, y, settings) of y = f(x)
  function eachValue(derivative) {
    return (operation, [input], out, gradient, [into]) => {
      for (let i = 0; i < out.length; i++) into[i] += gradient[i] * derivative(input[i], out[i], operation.settings);
    };
  }

  function maxPool2d(operation, [input], out, gradient, [into], [inputShape]) {
    const places = largest(operation, input, inputShape);
    for (let i = 0; i < out.length; i++) into[places[i]] += gradient[i];
  }

  function meanPool(operation, inputs, out, gradient, [into], [inputShape]) {
    const width = inputShape[2];
    eachPool(operation, inputShape, (output, y0, y1, x0, x1, plane, y, x) => {
      const share = gradient[output] / divisor(operation, inputShape, y, x, y0, y1, x0, x1);
      for (let i = y0; i < y1; i++) for (let j = x0; j < x1; j++) into[plane + i * width + j] += share;
    });
  }

  function mean(operation, inputs, out, gradient, [into]) {
    const pixels = into.length / out.length;
    for (let i = 0; i < into.length; i++) into[i] += gradient[Math.floor(i / pixels)] / pixels;
  }

  function add(operation, inputs, out, gradient, [first, second]) {
    for (let i = 0; i < out.length; i++) {
      first[i] += gradient[i];
      second[i] += operation.settings.alpha * gradient[i];
    }
  }

  function multiply(operation, [a, b], out, gradient, [first, second]) {
    for (let i = 0; i < out.length; i++) {
      first[i] += gradient[i] * b[i];
      second[i] += gradient[i] * a[i];
    }
  }

  function concatenate(operation, inputs, out, gradient, into) {
    let at = 0;
    for (const part of into) for (let i = 0; i < part.length; i++, at++) part[i] += gradient[at];
  }

  function softmax(operation, inputs, out, gradient, [into]) {
    let sum = 0;
    for (let i = 0; i < out.length; i++) sum += gradient[i] * out[i];
    for (let i = 0; i < out.length; i++) into[i] += out[i] * (gradient[i] - sum);
  }

  const root = Math.sqrt(2 / Math.PI);
  const bell = (x) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);

  function gelu(x, y, s) {
    if (s.approximate !== "tanh") return normalShare(x) + x * bell(x);
    const t = Math.tanh(root * (x + 0.044715 * x * x * x));
    return tanhShare(x) + x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x) / 2;
  }

  const backward = {
    constant: () => {},
    conv2d,
    linear,
    norm,
    relu: eachValue((x) => x > 0 ? 1 : 0),
    leaky_relu: eachValue((x, y, s) => x > 0 ? 1 : s.negative_slope),
    prelu,
    elu: eachValue((x, y, s) => s.scale * (x > 0 ? 1 : s.alpha * s.input_scale * Math.exp(s.input_scale * x))),
    gelu: eachValue(gelu),
    silu: eachValue((x) => sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    tanh: eachValue((x, y) => 1 - y * y),
    sigmoid: eachValue((x, y) => y * (1 - y)),
    clamp: eachValue((x, y, s) => x > s.min_val && x < s.max_val ? 1 : 0),
    max_pool2d: maxPool2d,
    avg_pool2d: meanPool,
    adaptive_avg_pool2d: meanPool,
    mean,
    add,
    multiply,
    scale: eachValue((x, y, s) => s.factor),
    concatenate,
    pad: (operation, inputs, out, gradient, [into], [shape]) =>
      eachPadded(operation, shape, (i, o) => { into[i] += gradient[o]; }),
    slice: (operation, inputs, out, gradient, [into], [shape]) =>
      eachSliced(operation, shape, (o, i) => { into[i] += gradient[o]; }),
    reshape: (operation, inputs, out, gradient, [into]) => {
      for (let i = 0; i < into.length; i++) into[i] += gradient[i];
    },
    softmax,
  };

  // The gradient of the logit of `target` with respect to every value. `values` and `without` are those of
  // `Interpreter.run`.
  function gradients(network, values, target, without = new Set()) {
    const found = values.map((value) => new Float32Array(value.length));
    found[found.length - 1][target] = 1;
    for (let i = network.operations.length - 1; i >= 0; i--) {
      const operation = network.operations[i], gradient = found[i + 1];
      if (without.has(i)) {
        const into = found[operation.inputs[1 - operation.shortcut]];
        const factor = operation.shortcut === 0 ? operation.settings.alpha : 1;
        for (let j = 0; j < into.length; j++) into[j] += factor * gradient[j];
        continue;
      }
      const pick = (list) => operation.inputs.map((value) => list[value]);
      backward[operation.name](operation, pick(values), values[i + 1], gradient, pick(found), pick(network.shapes));
    }
    return found;
  }

  // |∂ logit / ∂ pixel|, the largest over the channels: (h, w).
  function saliency(network, gradient) {
    const [channels, height, width] = network.image, out = new Float32Array(height * width);
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < out.length; p++) out[p] = Math.max(out[p], Math.abs(gradient[0][c * out.length + p]));
    }
    return out;
  }

  // Grad-CAM (Selvaraju et al. 2017) of a value of shape (c, h, w): the positive part of its channels' sum, each weighted
  // by the mean of its gradient: (h, w).
  function gradCam(network, values, gradient, value) {
    const [channels, height, width] = network.shapes[value], pixels = height * width, out = new Float32Array(pixels);
    const sums = new Float64Array(pixels);
    for (let c = 0; c < channels; c++) {
      let weight = 0;
      for (let p = 0; p < pixels; p++) weight += gradient[value][c * pixels + p];
      weight /= pixels;
      for (let p = 0; p < pixels; p++) sums[p] += weight * values[value][c * pixels + p];
    }
    for (let p = 0; p < pixels; p++) out[p] = Math.max(0, sums[p]);
    return out;
  }

  // The value of the convolution that Grad-CAM begins with: the one with the most convolutions before it; of several, the one
  // with the most channels, then the last one, as `convarium.explain` has it. null where there is none.
  function deepestConvolution({ operations }) {
    const depths = [0];
    let best = null;
    operations.forEach(({ name, inputs, shape }, i) => {
      const value = i + 1, depth = Math.max(0, ...inputs.map((input) => depths[input]));
      depths[value] = depth + (name === "conv2d" ? 1 : 0);
      if (name !== "conv2d") return;
      const lead = best === null ? 1 : depths[value] - depths[best] || shape[0] - operations[best - 1].shape[0];
      if (lead >= 0) best = value;
    });
    return best;
  }

  return { gradients, saliency, gradCam, deepestConvolution };
})();
