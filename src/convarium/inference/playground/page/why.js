"use strict";
// Why an answer: saliency, Grad-CAM and occlusion, for any class, each with what it does not show.

const Why = (() => {
  const { words, classes, preprocessing } = Play;
  const reasons = document.getElementById("reasons"), choice = document.getElementById("why-class");
  const stage = document.getElementById("why-stage"), square = document.getElementById("why-square");
  const state = { inputs: null, pixels: null, version: 0, isVisible: false, network: null };
  const AT_ONCE = 8;
  const shape = [preprocessing.channels, preprocessing.height, preprocessing.width];

  choice.add(new Option(words.why_answer, ""));
  classes.forEach((name, c) => choice.add(new Option(name, c)));
  const member = () => Inside.selected()[0];

  // The convolution that was chosen stays, until another network is.
  function fillStages() {
    const network = Engine.network(member()), ofNetwork = Play.networkOf(member());
    const kept = state.network === ofNetwork ? stage.value : "";
    state.network = ofNetwork;
    stage.replaceChildren();
    network.operations.forEach((operation, i) => {
      if (operation.name === "conv2d") stage.add(new Option(`${operation.module || i} · ${operation.shape.join(" × ")}`, i + 1));
    });
    stage.closest("label").hidden = !stage.options.length;
    stage.value = kept || Gradients.deepestConvolution(network);
  }

  // `canvas`: null where there is no picture; `heat`: what it shows.
  function figure(name, canvas, why, heat = null) {
    const box = document.createElement("div"), title = document.createElement("h3"), text = document.createElement("p");
    box.className = "reason";
    title.textContent = name; text.textContent = heat && !heat.some((value) => value > 0) ? `${why} ${words.why_nowhere}` : why; text.className = "small soft";
    box.append(title, text);
    if (canvas) {
      canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", `${name}: ${why}`);
      text.before(canvas);
    }
    return box;
  }

  // Squares that cover an image, half a side apart, cut at its edges: [top, bottom, left, right].
  function squares(height, width, side) {
    const step = Math.max(1, Math.floor(side / 2)), first = Math.min(0, 1 - side + step), found = [];
    for (let top = first; top < height; top += step) {
      for (let left = first; left < width; left += step) {
        found.push([Math.max(0, top), Math.min(height, top + side), Math.max(0, left), Math.min(width, left + side)]);
      }
    }
    return found;
  }

  // How much the class's probability falls when a square of zeros covers the normalized image, pixel by pixel the mean over
  // squares, as `convarium.explain` has it; null as soon as `isOver` says that another question is asked.
  async function occlusion(one, input, target, side, without, isOver) {
    const [channels, height, width] = Engine.network(one).image, area = height * width, places = squares(height, width, side);
    const covered = ([top, bottom, left, right]) => {
      const values = Float32Array.from(input);
      for (let c = 0; c < channels; c++) {
        for (let i = top; i < bottom; i++) values.fill(0, c * area + i * width + left, c * area + i * width + right);
      }
      return values;
    };
    const full = Interpreter.softmax(await Engine.logits(one, input, without))[target], logits = [];
    for (let at = 0; at < places.length; at += AT_ONCE) {
      if (isOver()) return null;
      logits.push(...await Engine.many(one, places.slice(at, at + AT_ONCE).map(covered), without));
    }
    const heat = new Float32Array(area), counts = new Float32Array(area);
    places.forEach(([top, bottom, left, right], n) => {
      const fall = Math.max(0, full - Interpreter.softmax(logits[n])[target]);
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) { heat[i * width + j] += fall; counts[i * width + j] += 1; }
      }
    });
    return heat.map((value, i) => counts[i] ? value / counts[i] : 0);
  }

  // The color of the square, which is 0 after normalization: its level of 255, or its levels of red, green and blue.
  const coverOf = (one) => Play.forms[Play.formOf(one)].mean.map((mean) => Math.round(255 * mean)).join(", ");

  async function refresh() {
    const mine = ++state.version;
    if (!state.inputs || !state.isVisible) return;
    fillStages();
    const one = member(), network = Engine.network(one), input = state.inputs[Play.formOf(one)], without = [...Inside.without()[0]];
    const isOver = () => mine !== state.version;
    const said = await Engine.logits(one, input, without, isOver);
    if (isOver()) return;
    const target = choice.value === "" ? said.indexOf(Math.max(...said)) : Number(choice.value);
    const found = await Engine.gradients(one, input, target, without, isOver);
    if (isOver()) return;
    const { values, gradients } = found;
    const [, rows, columns] = network.image, made = [];
    const about = { name: classes[target] };
    const changes = Gradients.saliency(network, gradients);
    made.push(figure(words.saliency, Pictures.overlay(Pictures.canvas(1, 1), changes, rows, columns, state.pixels, shape), fill(words.saliency_why, about), changes));
    if (stage.value) {
      const value = Number(stage.value), [, tall, wide] = network.shapes[value];
      const raised = Gradients.gradCam(network, values, gradients, value);
      made.push(figure(words.grad_cam, Pictures.overlay(Pictures.canvas(1, 1), raised, tall, wide, state.pixels, shape), fill(words.grad_cam_why, about), raised));
    } else {
      made.push(figure(words.grad_cam, null, words.grad_cam_none));
    }
    reasons.replaceChildren(...made);
    const heat = await occlusion(one, input, target, Number(square.value), without, isOver);
    if (isOver() || !heat) return;
    reasons.append(figure(words.occlusion, Pictures.overlay(Pictures.canvas(1, 1), heat, rows, columns, state.pixels, shape), fill(words.occlusion_why, { ...about, color: coverOf(one) }), heat));
  }

  for (const control of [choice, stage, square]) control.addEventListener("change", refresh);
  new IntersectionObserver((entries) => {
    state.isVisible = entries.some((entry) => entry.isIntersecting);
    if (state.isVisible) refresh();
  }).observe(document.getElementById("why"));

  return {
    set: (inputs, pixels) => {
      state.version++;
      state.inputs = inputs; state.pixels = pixels;
      if (inputs) setTimeout(refresh, 250); else reasons.replaceChildren();
    },
    squares,
    occlusion,
    choose: () => refresh(),
    stop: () => { state.version++; },
  };
})();
