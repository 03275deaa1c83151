"use strict";
// The pad: strokes by mouse, finger and pen, kept as lines so that they can be undone, moved and scaled.

const Drawing = (() => {
  const { height, width, channels } = Play.preprocessing, { frame } = Play;
  const pad = document.getElementById("pad"), brush = document.getElementById("brush");
  const color = document.getElementById("color"), center = document.getElementById("center");
  const factor = Math.max(1, Math.round(448 / Math.max(height, width)));
  const ground = channels === 3 ? "#202428" : frame.is_dark ? "#000" : "#fff", ink = frame.is_dark ? "#fff" : "#000";
  const strokes = [];
  const open = new Map(); // the stroke of each pointer that is down
  let onChange = () => {};
  pad.width = width * factor; pad.height = height * factor;
  pad.style.aspectRatio = `${width} / ${height}`;
  brush.value = frame.brush;
  center.checked = frame.box !== null;

  // Strokes have points in pixels of the data set's images.
  function paint(context, lines, scale, move) {
    context.fillStyle = ground;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.lineCap = context.lineJoin = "round";
    for (const { points, size, shade } of lines) {
      context.strokeStyle = shade; context.lineWidth = size * factor;
      context.beginPath();
      points.forEach(([x, y], i) => {
        const at = [(x * scale + move[0]) * factor, (y * scale + move[1]) * factor];
        if (i) context.lineTo(...at); else context.moveTo(...at);
      });
      if (points.length === 1) context.lineTo(...[(points[0][0] * scale + move[0]) * factor + 0.01, (points[0][1] * scale + move[1]) * factor]);
      context.stroke();
    }
  }

  function levels(context) {
    const { width: columns, height: rows } = context.canvas;
    const data = context.getImageData(0, 0, columns, rows).data;
    return Preprocess.averaged(Preprocess.channelsOf(data, channels), [channels, rows, columns], factor);
  }

  // The drawing's box, the width of the lines included: its longest side becomes `frame.box`, and its center lies in the
  // middle of the image; the center of mass does, where that is so in the data set.
  function centered(context) {
    let low = [Infinity, Infinity], high = [-Infinity, -Infinity], half = 0;
    for (const { points, size } of strokes) {
      half = Math.max(half, size / 2);
      for (const point of points) {
        low = low.map((value, i) => Math.min(value, point[i]));
        high = high.map((value, i) => Math.max(value, point[i]));
      }
    }
    const extent = Math.max(high[0] - low[0], high[1] - low[1]);
    const scale = extent > 0 ? Math.max(0.05, Math.min(20, (frame.box - 2 * half) / extent)) : 1;
    const middle = [width / 2, height / 2].map((value, i) => value - scale * (low[i] + high[i]) / 2);
    paint(context, strokes, scale, middle);
    if (!frame.is_centered) return;
    const values = levels(context), area = height * width, empty = frame.is_dark ? 0 : 255;
    let mass = 0, sums = [0, 0];
    for (let i = 0; i < area; i++) {
      const weight = Math.abs(values[i] - empty);
      mass += weight;
      sums[0] += weight * (i % width + 0.5); sums[1] += weight * (Math.floor(i / width) + 0.5);
    }
    if (mass) paint(context, strokes, scale, middle.map((value, i) => value + [width, height][i] / 2 - sums[i] / mass));
  }

  // `isContinued`: the same stroke goes on.
  function changed(isContinued = false) {
    paint(pad.getContext("2d", { willReadFrequently: true }), strokes, 1, [0, 0]);
    onChange(isContinued);
  }

  // {pixels, steps} of the drawing as the data set would hold it; null while nothing is drawn.
  function read() {
    if (!strokes.length) return null;
    const steps = [{ name: Play.words.step_drawn, canvas: copy(pad) }];
    const made = Pictures.canvas(pad.width, pad.height), context = made.getContext("2d", { willReadFrequently: true });
    if (center.checked && channels === 1) {
      centered(context);
      steps.push({ name: Play.words.step_centered, canvas: copy(made) });
    } else {
      paint(context, strokes, 1, [0, 0]);
    }
    return { pixels: levels(context), steps };
  }

  function copy(canvas) {
    const made = Pictures.canvas(canvas.width, canvas.height);
    made.getContext("2d").drawImage(canvas, 0, 0);
    return made;
  }

  function place(event) {
    const box = pad.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
  }

  // A stroke is no gesture: after one that is taken for a fling, the browser would spend the next tap on stopping it.
  pad.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    const stroke = { points: [place(event)], size: Number(brush.value), shade: color ? color.value : ink };
    open.set(event.pointerId, stroke);
    strokes.push(stroke);
    changed();
  });
  pad.addEventListener("pointermove", (event) => {
    const stroke = open.get(event.pointerId);
    if (!stroke) return;
    const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const one of events.length ? events : [event]) stroke.points.push(place(one));
    changed(true);
  });
  for (const name of ["pointerup", "pointercancel"]) pad.addEventListener(name, (event) => open.delete(event.pointerId));

  // The pad by keyboard: arrows move a pen, and space puts it down and lifts it.
  const pen = { at: [width / 2, height / 2], isDown: false };
  pad.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) { undo(); event.preventDefault(); return; }
    if (event.key === " ") {
      pen.isDown = !pen.isDown;
      if (pen.isDown) strokes.push({ points: [[...pen.at]], size: Number(brush.value), shade: color ? color.value : ink });
    } else if (move) {
      pen.at = pen.at.map((value, i) => Math.min(Math.max(value + move[i], 0), [width, height][i]));
      if (pen.isDown && strokes.length) strokes.at(-1).points.push([...pen.at]);
    } else {
      return;
    }
    event.preventDefault();
    changed(pen.isDown && Boolean(move));
    const context = pad.getContext("2d");
    context.strokeStyle = pen.isDown ? "#d55e00" : "#8a8a8a"; context.lineWidth = 2;
    context.strokeRect(pen.at[0] * factor - 6, pen.at[1] * factor - 6, 12, 12);
  });

  function undo() { strokes.pop(); pen.isDown = false; changed(); }
  function clear() { strokes.length = 0; pen.isDown = false; changed(); }
  document.getElementById("undo").addEventListener("click", undo);
  document.getElementById("clear").addEventListener("click", clear);
  center.addEventListener("change", () => onChange(false));
  if (channels === 3 || !frame.box) { center.closest("label").hidden = true; document.getElementById("center-why").hidden = true; }
  changed();

  return {
    read,
    clear,
    // Draws lines of points, in pixels of the data set's images.
    set: (lines) => {
      strokes.length = 0;
      for (const points of lines) strokes.push({ points, size: Number(brush.value), shade: color ? color.value : ink });
      changed();
    },
    listen: (listener) => { onChange = listener; },
  };
})();
