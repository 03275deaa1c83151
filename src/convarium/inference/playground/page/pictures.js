"use strict";
// Arrays as pictures on canvases.

const Pictures = (() => {
  const viridis = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
    [170, 220, 50], [253, 231, 37]];
  const diverging = [[33, 102, 172], [103, 169, 207], [209, 229, 240], [247, 247, 247], [253, 219, 199], [239, 138, 98],
    [178, 24, 43]];

  function mix(colors, share) {
    const at = Math.min(Math.max(share, 0), 1) * (colors.length - 1), i = Math.min(Math.floor(at), colors.length - 2);
    return colors[i].map((value, c) => value + (at - i) * (colors[i + 1][c] - value));
  }

  // How values of an array become colors: values of both signs around white, others from dark blue to yellow.
  function scale(values) {
    let low = Infinity, high = -Infinity;
    for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
    if (low < 0) {
      const most = Math.max(-low, high) || 1;
      return { low: -most, high: most, color: (value) => mix(diverging, (value / most + 1) / 2) };
    }
    return { low: 0, high, color: (value) => mix(viridis, high ? value / high : 0) };
  }

  const inGray = (low, high) => ({
    low, high, color: (value) => Array(3).fill(255 * (high > low ? (value - low) / (high - low) : 0)),
  });

  function canvas(width, height, label) {
    const made = document.createElement("canvas");
    made.width = width; made.height = height;
    if (label) { made.setAttribute("role", "img"); made.setAttribute("aria-label", label); }
    return made;
  }

  // Draws (height, width) of `values`, which begin at `start`.
  function plane(target, values, start, height, width, colors) {
    target.width = width; target.height = height;
    const context = target.getContext("2d"), pixels = context.createImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      const [red, green, blue] = colors.color(values[start + i]);
      pixels.data.set([red, green, blue, 255], 4 * i);
    }
    context.putImageData(pixels, 0, 0);
    return target;
  }

  // Draws an image (c, h, w) whose values run from `low` to `high`.
  function image(target, values, [channels, height, width], low = 0, high = 255) {
    target.width = width; target.height = height;
    const context = target.getContext("2d"), pixels = context.createImageData(width, height), area = height * width;
    for (let i = 0; i < area; i++) {
      for (let c = 0; c < 3; c++) {
        const value = values[(channels === 1 ? 0 : c) * area + i];
        pixels.data[4 * i + c] = 255 * (value - low) / (high - low || 1);
      }
      pixels.data[4 * i + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return target;
  }

  // A heat map (rows, columns), enlarged smoothly, over an image that is turned gray.
  function overlay(target, heat, rows, columns, pixels, [channels, height, width]) {
    const side = 4 * Math.max(height, width), small = canvas(columns, rows), area = height * width;
    let most = 0;
    for (const value of heat) if (value > most) most = value;
    const context = small.getContext("2d"), layer = context.createImageData(columns, rows);
    for (let i = 0; i < rows * columns; i++) {
      const share = most ? heat[i] / most : 0;
      layer.data.set([...mix(viridis, share), 40 + 190 * share], 4 * i);
    }
    context.putImageData(layer, 0, 0);
    const gray = new Float32Array(area);
    for (let i = 0; i < area; i++) for (let c = 0; c < channels; c++) gray[i] += pixels[c * area + i] / channels;
    const ground = image(canvas(width, height), gray, [1, height, width], 0, 510); // half as bright, so that heat shows on white
    target.width = Math.round(side * width / Math.max(height, width));
    target.height = Math.round(side * height / Math.max(height, width));
    const out = target.getContext("2d");
    out.imageSmoothingEnabled = false;
    out.drawImage(ground, 0, 0, target.width, target.height);
    out.imageSmoothingEnabled = rows < height;
    out.imageSmoothingQuality = "high";
    out.drawImage(small, 0, 0, target.width, target.height);
    return target;
  }

  return { canvas, plane, image, overlay, scale, inGray };
})();
