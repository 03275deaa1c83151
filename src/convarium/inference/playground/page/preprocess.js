"use strict";
// From a drawing or a picture to the network's input, by the steps that the run's record states.

const Preprocess = (() => {
  // Bilinear with a triangle as wide as a pixel of the smaller image, as Pillow's BILINEAR and PyTorch's antialiased
  // interpolation have it. Pillow rounds to whole levels after each direction.
  // `begin` and `extent`: the part of the line that is resized.
  function weights(size, side, begin = 0, extent = size) {
    const ratio = extent / side, support = Math.max(1, ratio);
    return Array.from({ length: side }, (_, i) => {
      const center = begin + (i + 0.5) * ratio;
      const first = Math.max(0, Math.floor(center - support + 0.5)), end = Math.min(size, Math.floor(center + support + 0.5));
      const found = [];
      for (let j = first; j < end; j++) found.push(Math.max(0, 1 - Math.abs((j + 0.5 - center) / support)));
      const sum = found.reduce((a, b) => a + b, 0);
      return { first, values: found.map((value) => value / sum) };
    });
  }

  // To the nearest whole number, halves to the even one, as Python rounds.
  function rounded(value) {
    const below = Math.floor(value);
    return value - below === 0.5 ? below + (below % 2) : Math.round(value);
  }

  // (channels, height, width) → (channels, rows, columns)
  function resample(values, [channels, height, width], rows, columns, isRounded, box = [0, 0, height, width]) {
    const level = isRounded ? (value) => Math.min(255, Math.max(0, Math.floor(value + 0.5))) : (value) => value;
    const [top, left, tall, wide] = box;
    const across = weights(width, columns, left, wide), down = weights(height, rows, top, tall);
    const isAcross = width !== columns || wide !== width, isDown = height !== rows || tall !== height;
    const half = new Float32Array(channels * height * columns), out = new Float32Array(channels * rows * columns);
    for (let line = 0; line < channels * height; line++) {
      for (let x = 0; x < columns; x++) {
        const { first, values: share } = across[x];
        let sum = 0;
        for (let i = 0; i < share.length; i++) sum += share[i] * values[line * width + first + i];
        half[line * columns + x] = isAcross ? level(sum) : values[line * width + x];
      }
    }
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < rows; y++) {
        const { first, values: share } = down[y];
        for (let x = 0; x < columns; x++) {
          let sum = 0;
          for (let i = 0; i < share.length; i++) sum += share[i] * half[(c * height + first + i) * columns + x];
          out[(c * rows + y) * columns + x] = isDown ? level(sum) : half[(c * height + y) * columns + x];
        }
      }
    }
    return out;
  }

  // The mean of each square of `factor` × `factor` pixels.
  function averaged(values, [channels, height, width], factor) {
    const rows = height / factor, columns = width / factor, out = new Float32Array(channels * rows * columns);
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const at = (c * rows + Math.floor(y / factor)) * columns + Math.floor(x / factor);
          out[at] += values[(c * height + y) * width + x] / factor ** 2;
        }
      }
    }
    return out.map(Math.round);
  }

  // RGBA of a canvas → (channels, height, width); gray as Pillow's "L".
  function channelsOf(data, channels) {
    const area = data.length / 4, out = new Float32Array(channels * area);
    for (let i = 0; i < area; i++) {
      const red = data[4 * i], green = data[4 * i + 1], blue = data[4 * i + 2];
      if (channels === 1) out[i] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
      else { out[i] = red; out[area + i] = green; out[2 * area + i] = blue; }
    }
    return out;
  }

  // A picture as the data set would hold it: (c, h, w), whole levels.
  function fitted(values, [channels, height, width], form) {
    const { fit, ground } = form, rows = form.height, columns = form.width;
    if (fit === "crop") {
      const ratio = columns / rows, isWide = width / height >= ratio;
      const [tall, wide] = isWide ? [height, ratio * height] : [width / ratio, width];
      const box = [(height - tall) / 2, (width - wide) / 2, tall, wide];
      return resample(values, [channels, height, width], rows, columns, true, box);
    }
    if (fit !== "pad") return resample(values, [channels, height, width], rows, columns, true);
    const isWide = width / height > columns / rows;
    const inner = isWide ? [Math.max(1, rounded(height / width * columns)), columns]
      : [rows, Math.max(1, rounded(width / height * rows))];
    const small = resample(values, [channels, height, width], ...inner, true), out = new Float32Array(channels * rows * columns);
    const top = rounded((rows - inner[0]) / 2), left = rounded((columns - inner[1]) / 2);
    const [red, green, blue] = ground, gray = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    for (let c = 0; c < channels; c++) {
      out.fill(channels === 1 ? gray : ground[c], c * rows * columns, (c + 1) * rows * columns);
      for (let y = 0; y < inner[0]; y++) {
        for (let x = 0; x < inner[1]; x++) {
          out[(c * rows + top + y) * columns + left + x] = small[(c * inner[0] + y) * inner[1] + x];
        }
      }
    }
    return out;
  }

  // (pixels / 255 − mean) / std, after resizing where the record says so.
  function normalized(pixels, form) {
    const { channels, height, width, resize, mean, std } = form;
    const sized = resize ? resample(pixels, [channels, height, width], resize, resize, false) : pixels;
    const area = sized.length / channels;
    return Float32Array.from(sized, (value, i) => {
      const c = mean.length === 1 ? 0 : Math.floor(i / area);
      return (value / 255 - mean[c]) / std[c];
    });
  }

  return { resample, averaged, channelsOf, fitted, normalized };
})();
