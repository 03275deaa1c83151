"use strict";
// Carries out a network that `encoding.encode` wrote, on one image, and keeps every value on the way.
//
// A value is a Float32Array of shape (c, h, w) or (features,). Value 0 is the normalized image, operation i makes value
// i + 1, and the last value is the logits. Sums are formed in double precision and rounded once, to float32.

const Interpreter = (() => {
  // Σ over t of a[i, t] · b[j, t] for all i < rows, j < columns, written to out[i · down + j · right].
  // Four rows and two columns at once, so that eight sums stay in registers.
  function product(a, b, rows, columns, inner, out, down, right) {
    let i = 0;
    for (; i + 3 < rows; i += 4) {
      const a0 = i * inner, a1 = a0 + inner, a2 = a1 + inner, a3 = a2 + inner;
      let j = 0;
      for (; j + 1 < columns; j += 2) {
        const b0 = j * inner, b1 = b0 + inner;
        let s00 = 0, s01 = 0, s10 = 0, s11 = 0, s20 = 0, s21 = 0, s30 = 0, s31 = 0;
        for (let t = 0; t < inner; t++) {
          const x = b[b0 + t], y = b[b1 + t];
          const p = a[a0 + t], q = a[a1 + t], r = a[a2 + t], s = a[a3 + t];
          s00 += p * x; s01 += p * y;
          s10 += q * x; s11 += q * y;
          s20 += r * x; s21 += r * y;
          s30 += s * x; s31 += s * y;
        }
        const at = i * down + j * right;
        out[at] = s00; out[at + right] = s01;
        out[at + down] = s10; out[at + down + right] = s11;
        out[at + 2 * down] = s20; out[at + 2 * down + right] = s21;
        out[at + 3 * down] = s30; out[at + 3 * down + right] = s31;
      }
      for (; j < columns; j++) {
        const b0 = j * inner;
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (let t = 0; t < inner; t++) {
          const x = b[b0 + t];
          s0 += a[a0 + t] * x; s1 += a[a1 + t] * x; s2 += a[a2 + t] * x; s3 += a[a3 + t] * x;
        }
        const at = i * down + j * right;
        out[at] = s0; out[at + down] = s1; out[at + 2 * down] = s2; out[at + 3 * down] = s3;
      }
    }
    for (; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        let sum = 0;
        for (let t = 0; t < inner; t++) sum += a[i * inner + t] * b[j * inner + t];
        out[i * down + j * right] = sum;
      }
    }
  }

  // (rows, columns) → (columns, rows)
  function transposed(values, rows, columns) {
    const out = new Float32Array(rows * columns);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j];
    return out;
  }

  // Calls visit(column, pixel) for each pixel of the input that the windows of one group of a convolution cover:
  // `column` is its place in the matrix (output pixels, weights of one filter), and `pixel` in the group's channels.
  function eachOfWindows(operation, inputShape, visit) {
    const [, height, width] = inputShape, [, rows, columns] = operation.shape;
    const [, channels, kernelY, kernelX] = operation.weightShape;
    const { stride, padding, dilation } = operation.settings;
    let column = 0;
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        for (let c = 0; c < channels; c++) {
          for (let ky = 0; ky < kernelY; ky++) {
            const inputY = y * stride[0] - padding[0] + ky * dilation[0];
            if (inputY < 0 || inputY >= height) { column += kernelX; continue; }
            const line = (c * height + inputY) * width;
            for (let kx = 0; kx < kernelX; kx++, column++) {
              const inputX = x * stride[1] - padding[1] + kx * dilation[1];
              if (inputX >= 0 && inputX < width) visit(column, line + inputX);
            }
          }
        }
      }
    }
  }

  // The windows of one group as rows of a matrix: (output pixels, weights of one filter).
  function windows(operation, input, inputShape) {
    const [, channels, kernelY, kernelX] = operation.weightShape, [, height, width] = inputShape;
    const { stride, padding, dilation } = operation.settings;
    const [, rows, columns] = operation.shape;
    const out = new Float32Array(rows * columns * channels * kernelY * kernelX);
    let at = 0;
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const left = x * stride[1] - padding[1];
        for (let c = 0; c < channels; c++) {
          for (let ky = 0; ky < kernelY; ky++, at += kernelX) {
            const inputY = y * stride[0] - padding[0] + ky * dilation[0];
            if (inputY < 0 || inputY >= height) continue;
            const line = (c * height + inputY) * width;
            for (let kx = 0; kx < kernelX; kx++) {
              const inputX = left + kx * dilation[1];
              if (inputX >= 0 && inputX < width) out[at + kx] = input[line + inputX];
            }
          }
        }
      }
    }
    return out;
  }

  function conv2d(operation, [input], out, [inputShape]) {
    const { groups } = operation.settings, { weight, bias } = operation.tensors;
    const [channels, , ] = operation.shape, pixels = out.length / channels;
    const filters = channels / groups, inner = weight.length / channels, part = input.length / groups;
    for (let g = 0; g < groups; g++) {
      const matrix = windows(operation, input.subarray(g * part, (g + 1) * part), inputShape);
      const kernels = weight.subarray(g * filters * inner, (g + 1) * filters * inner);
      product(kernels, matrix, filters, pixels, inner, out.subarray(g * filters * pixels), pixels, 1);
    }
    if (bias) for (let c = 0, i = 0; c < channels; c++) for (let p = 0; p < pixels; p++, i++) out[i] += bias[c];
  }

  function linear(operation, [input], out) {
    const { weight, bias } = operation.tensors;
    product(weight, input, out.length, 1, input.length, out, 1, 1);
    if (bias) for (let i = 0; i < out.length; i++) out[i] += bias[i];
  }

  function norm(operation, [input], out) {
    const { scale, shift } = operation.tensors, pixels = out.length / scale.length;
    for (let c = 0, i = 0; c < scale.length; c++) {
      for (let p = 0; p < pixels; p++, i++) out[i] = input[i] * scale[c] + shift[c];
    }
  }

  function eachValue(f) {
    return (operation, [input], out) => {
      const s = operation.settings;
      for (let i = 0; i < out.length; i++) out[i] = f(input[i], s);
    };
  }

  function prelu(operation, [input], out) {
    const { slope } = operation.tensors, pixels = out.length / slope.length;
    for (let i = 0; i < out.length; i++) out[i] = input[i] > 0 ? input[i] : input[i] * slope[Math.floor(i / pixels)];
  }

  // The window of an output pixel along one axis, inside the input: [first, end), step `dilation`.
  function span(place, stride, padding, kernel, dilation, size) {
    let first = place * stride - padding;
    const end = Math.min(first + (kernel - 1) * dilation + 1, size);
    while (first < 0) first += dilation;
    return [first, end];
  }

  // Calls visit(output, y0, y1, x0, x1, plane) for each output pixel of a pooling: rows y0 to y1 and columns x0 to x1 of
  // its channel, which begins at `plane`.
  function eachPool(operation, inputShape, visit) {
    const [channels, height, width] = inputShape, [, rows, columns] = operation.shape, s = operation.settings;
    const dilation = s.dilation || [1, 1];
    let output = 0;
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < rows; y++) {
        const [y0, y1] = s.kernel
          ? span(y, s.stride[0], s.padding[0], s.kernel[0], dilation[0], height)
          : [Math.floor(y * height / rows), Math.ceil((y + 1) * height / rows)];
        for (let x = 0; x < columns; x++, output++) {
          const [x0, x1] = s.kernel
            ? span(x, s.stride[1], s.padding[1], s.kernel[1], dilation[1], width)
            : [Math.floor(x * width / columns), Math.ceil((x + 1) * width / columns)];
          visit(output, y0, y1, x0, x1, c * height * width, y, x);
        }
      }
    }
  }

  // The place of the largest value of each window, the first one where several are equal.
  function largest(operation, input, inputShape) {
    const width = inputShape[2], [stepY, stepX] = operation.settings.dilation;
    const places = new Int32Array(operation.shape.reduce((a, b) => a * b));
    eachPool(operation, inputShape, (output, y0, y1, x0, x1, plane) => {
      let best = plane + y0 * width + x0;
      for (let y = y0; y < y1; y += stepY) {
        for (let x = x0; x < x1; x += stepX) {
          const at = plane + y * width + x;
          if (input[at] > input[best] || input[at] !== input[at]) best = at;
        }
      }
      places[output] = best;
    });
    return places;
  }

  function maxPool2d(operation, [input], out, [inputShape]) {
    const places = largest(operation, input, inputShape);
    for (let i = 0; i < out.length; i++) out[i] = input[places[i]];
  }

  // How many values the mean of a window is over: padding may count, as PyTorch has it.
  function divisor(operation, inputShape, y, x, y0, y1, x0, x1) {
    const s = operation.settings;
    if (s.divisor) return s.divisor;
    if (!s.counts_padding) return (y1 - y0) * (x1 - x0);
    const count = (place, axis) => {
      const first = place * s.stride[axis] - s.padding[axis];
      return Math.min(first + s.kernel[axis], inputShape[axis + 1] + s.padding[axis]) - first;
    };
    return count(y, 0) * count(x, 1);
  }

  function meanPool(operation, [input], out, [inputShape]) {
    const width = inputShape[2];
    eachPool(operation, inputShape, (output, y0, y1, x0, x1, plane, y, x) => {
      let sum = 0;
      for (let i = y0; i < y1; i++) for (let j = x0; j < x1; j++) sum += input[plane + i * width + j];
      out[output] = sum / divisor(operation, inputShape, y, x, y0, y1, x0, x1);
    });
  }

  function mean(operation, [input], out) {
    const pixels = input.length / out.length;
    for (let c = 0; c < out.length; c++) {
      let sum = 0;
      for (let p = 0; p < pixels; p++) sum += input[c * pixels + p];
      out[c] = sum / pixels;
    }
  }

  function add(operation, [first, second], out) {
    const { alpha } = operation.settings;
    for (let i = 0; i < out.length; i++) out[i] = first[i] + alpha * second[i];
  }

  function multiply(operation, [first, second], out) {
    for (let i = 0; i < out.length; i++) out[i] = first[i] * second[i];
  }

  function concatenate(operation, inputs, out) {
    let at = 0;
    for (const input of inputs) { out.set(input, at); at += input.length; }
  }

  // Calls visit(inner, outer) for each value of a box that lies in a larger one, `steps` apart, from `start` on.
  function eachOfBox(inner, outer, start, steps, visit) {
    const shape = [...Array(3 - inner.length).fill(1), ...inner], whole = [...Array(3 - outer.length).fill(1), ...outer];
    const first = [...Array(3 - inner.length).fill(0), ...start], step = [...Array(3 - inner.length).fill(1), ...steps];
    let i = 0;
    for (let c = 0; c < shape[0]; c++) {
      for (let y = 0; y < shape[1]; y++) {
        const line = ((first[0] + c * step[0]) * whole[1] + first[1] + y * step[1]) * whole[2] + first[2];
        for (let x = 0; x < shape[2]; x++, i++) visit(i, line + x * step[2]);
      }
    }
  }

  function eachPadded(operation, inputShape, visit) {
    eachOfBox(inputShape, operation.shape, operation.settings.before, inputShape.map(() => 1), visit);
  }

  function pad(operation, [input], out, [inputShape]) {
    out.fill(operation.settings.value);
    eachPadded(operation, inputShape, (i, o) => { out[o] = input[i]; });
  }

  function eachSliced(operation, inputShape, visit) {
    const { axis, start, step } = operation.settings;
    const at = (value, other) => inputShape.map((_, i) => i === axis ? value : other);
    eachOfBox(operation.shape, inputShape, at(start, 0), at(step, 1), visit);
  }

  function slice(operation, [input], out, [inputShape]) {
    eachSliced(operation, inputShape, (o, i) => { out[o] = input[i]; });
  }

  function softmax(values) {
    let top = -Infinity, sum = 0;
    for (const value of values) if (value > top) top = value;
    const out = Float64Array.from(values, (value) => Math.exp(value - top));
    for (const value of out) sum += value;
    return out.map((value) => value / sum);
  }

  // The error function's complement: by its series near 0, by its continued fraction further out.
  function erfc(x) {
    const z = Math.abs(x), scale = Math.exp(-z * z) / Math.sqrt(Math.PI);
    let result = z;
    if (z < 2) {
      let term = z, sum = z;
      for (let n = 1; term > 1e-17 * sum; n++) { term *= 2 * z * z / (2 * n + 1); sum += term; }
      result = 1 - 2 * scale * sum;
    } else {
      for (let n = 60; n > 0; n--) result = z + n / 2 / result;
      result = scale / result;
    }
    return x >= 0 ? result : 2 - result;
  }

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const normalShare = (x) => erfc(-x / Math.SQRT2) / 2;

  // GELU's curve where it is approximated by tanh: the share of x that passes.
  const tanhShare = (x) => (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))) / 2;

  const forward = {
    constant: (operation, inputs, out) => out.set(operation.tensors.value),
    conv2d,
    linear,
    norm,
    relu: eachValue((x) => x > 0 || x !== x ? x : 0),
    leaky_relu: eachValue((x, s) => x > 0 ? x : x * s.negative_slope),
    prelu,
    elu: eachValue((x, s) => s.scale * (x > 0 ? x : s.alpha * Math.expm1(s.input_scale * x))),
    gelu: eachValue((x, s) => x * (s.approximate === "tanh" ? tanhShare(x) : normalShare(x))),
    silu: eachValue((x) => x * sigmoid(x)),
    tanh: eachValue((x) => Math.tanh(x)),
    sigmoid: eachValue(sigmoid),
    clamp: eachValue((x, s) => Math.min(Math.max(x, s.min_val), s.max_val)),
    max_pool2d: maxPool2d,
    avg_pool2d: meanPool,
    adaptive_avg_pool2d: meanPool,
    mean,
    add,
    multiply,
    scale: eachValue((x, s) => x * s.factor + s.offset),
    concatenate,
    pad,
    slice,
    reshape: (operation, [input], out) => out.set(input),
    softmax: (operation, [input], out) => out.set(softmax(input)),
  };

  // float16 → number
  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  function bytesOf(base64) {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  // Decodes a network as `encoding.encode` writes it.
  function load(encoded) {
    const bytes = bytesOf(encoded.data), view = new DataView(bytes.buffer);
    const halves = new Float32Array(65536);
    if (encoded.tensors.some((tensor) => tensor.type === "float16")) for (let i = 0; i < 65536; i++) halves[i] = half(i);
    const tensors = encoded.tensors.map(({ shape, type, start }) => {
      const out = new Float32Array(shape.reduce((a, b) => a * b, 1));
      if (type === "float16") for (let i = 0; i < out.length; i++) out[i] = halves[view.getUint16(start + 2 * i, true)];
      else for (let i = 0; i < out.length; i++) out[i] = view.getFloat32(start + 4 * i, true);
      return out;
    });
    const operations = encoded.operations.map((operation) => {
      const named = Object.fromEntries(Object.entries(operation.tensors).map(([name, i]) => [name, tensors[i]]));
      const weightShape = "weight" in operation.tensors ? encoded.tensors[operation.tensors.weight].shape : null;
      return { ...operation, tensors: named, weightShape };
    });
    const unknown = operations.find((operation) => !(operation.name in forward));
    if (unknown) throw new Error(`this page does not know the operation ${unknown.name}`);
    return { image: encoded.image, operations, shapes: [encoded.image, ...operations.map(({ shape }) => shape)] };
  }

  // Every value of a network for one normalized image. `without` is a set of sums (the numbers of their operations)
  // whose shortcut is taken away: they give their block's F(x) alone.
  function run(network, image, without = new Set()) {
    const values = [image];
    network.operations.forEach((operation, i) => {
      const inputs = operation.inputs.map((value) => values[value]);
      const out = new Float32Array(operation.shape.reduce((a, b) => a * b, 1));
      if (without.has(i)) withoutShortcut(operation, inputs, out);
      else forward[operation.name](operation, inputs, out, operation.inputs.map((value) => network.shapes[value]));
      values.push(out);
    });
    return values;
  }

  function withoutShortcut(operation, inputs, out) {
    const factor = operation.shortcut === 0 ? operation.settings.alpha : 1, kept = inputs[1 - operation.shortcut];
    for (let i = 0; i < out.length; i++) out[i] = factor * kept[i];
  }

  return {
    load, run, softmax, bytesOf, product, transposed, windows, eachOfWindows, eachPool, divisor, largest, eachPadded,
    eachSliced, sigmoid, normalShare, tanhShare,
  };
})();
