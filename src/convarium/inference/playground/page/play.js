"use strict";
// Puts the parts together: what the input is, and who is told of it.

(() => {
  const { words, preprocessing, gallery, networks } = Play;
  const shape = [preprocessing.channels, preprocessing.height, preprocessing.width];
  const size = shape.reduce((a, b) => a * b), steps = document.getElementById("steps");
  const invert = document.getElementById("invert"), trouble = document.getElementById("file-trouble");
  const MOST_PIXELS = 64e6, WIDEST = 4096;
  let picture = null, chosen = null, isDrawing = true, scheduled = false, isSameStroke = true, opened = 0;

  function step(name, canvas) {
    const item = document.createElement("li");
    canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", name);
    item.append(canvas, name);
    return item;
  }

  // `pixels`: (c, h, w) whole levels as the data set would hold them; null: there is no image.
  // `isContinued`: the same stroke goes on.
  function show(pixels, before, label, isContinued = false) {
    if (!pixels) {
      steps.replaceChildren();
      Answers.clear(); Inside.set(null); Why.set(null, null);
      return;
    }
    const inputs = Play.forms.map((form) => Preprocess.normalized(pixels, form)), [input] = inputs;
    const low = input.reduce((a, b) => Math.min(a, b)), high = input.reduce((a, b) => Math.max(a, b));
    const side = preprocessing.resize ? [shape[0], preprocessing.resize, preprocessing.resize] : shape;
    const tenths = (value) => value.toFixed(1).replace("-", "−");
    const range = fill(words.step_normalized, { low: tenths(low), high: tenths(high) });
    steps.replaceChildren(
      ...before.map(({ name, canvas }) => step(name, canvas)),
      step(`${shape[1]} × ${shape[2]}`, Pictures.image(Pictures.canvas(1, 1), pixels, shape)),
      step(range, Pictures.image(Pictures.canvas(1, 1), input, side, low, high)),
    );
    Why.stop();
    Answers.ask(inputs, label, isContinued).then((isDone) => { if (isDone) Why.set(inputs, pixels); }).catch(complain);
    Inside.set(inputs, label);
  }

  function complain(error) {
    const place = document.getElementById("trouble");
    place.textContent = fill(words.trouble, { reason: error.message || error });
    place.hidden = false;
  }

  // At most one drawing a frame.
  Drawing.listen((isContinued) => {
    if (!isDrawing) return;
    isSameStroke = isSameStroke && isContinued;
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      const isSame = isSameStroke;
      scheduled = false; isSameStroke = true;
      showDrawing(isSame);
    });
  });

  function showDrawing(isContinued = false) {
    const read = Drawing.read();
    if (read) show(read.pixels, read.steps, null, isContinued); else show(null);
  }

  const bytes = gallery ? Interpreter.bytesOf(gallery.data) : null;
  const galleryPixels = (i) => Float32Array.from(bytes.subarray(i * size, (i + 1) * size));
  const galleryCanvas = (i) => Pictures.image(Pictures.canvas(1, 1), galleryPixels(i), shape);

  function choose(i) {
    chosen = i;
    for (const [n, button] of [...document.getElementById("gallery").children].entries()) {
      button.setAttribute("aria-pressed", String(n === i));
    }
    show(galleryPixels(i), [], gallery.labels[i]);
  }

  if (gallery) {
    const box = document.getElementById("gallery");
    gallery.labels.forEach((label, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      const about = { number: gallery.numbers[i], name: Play.classes[label] };
      button.setAttribute("aria-label", fill(words.test_image, about)); button.title = fill(words.test_image, about);
      button.append(galleryCanvas(i));
      button.addEventListener("click", () => choose(i));
      box.append(button);
    });
  }

  // An image that the browser decodes; nothing is sent anywhere. Of several, the last one that was asked for stays.
  function open(file) {
    const mine = ++opened;
    trouble.hidden = true;
    const refuse = (text) => { trouble.textContent = text; trouble.hidden = false; };
    const url = URL.createObjectURL(file), image = new Image();
    image.onload = () => {
      const { naturalWidth: wide, naturalHeight: tall } = image;
      URL.revokeObjectURL(url);
      if (mine !== opened) return;
      if (!wide || !tall) { refuse(fill(words.unreadable, { name: file.name })); return; }
      if (wide * tall > MOST_PIXELS) { refuse(fill(words.too_large, { n: Math.round(wide * tall / 1e6), most: MOST_PIXELS / 1e6 })); return; }
      const factor = Math.min(1, WIDEST / Math.max(wide, tall));
      const canvas = Pictures.canvas(Math.max(1, Math.round(wide * factor)), Math.max(1, Math.round(tall * factor)));
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.fillStyle = `rgb(${preprocessing.ground.join(" ")})`;
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      picture = { canvas, name: file.name };
      if (document.getElementById("tab-file").getAttribute("aria-selected") === "true") showPicture();
    };
    image.onerror = () => { URL.revokeObjectURL(url); if (mine === opened) refuse(fill(words.unreadable, { name: file.name })); };
    image.src = url;
  }

  function showPicture() {
    if (!picture) { show(null); return; }
    const { canvas } = picture, data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let values = Preprocess.channelsOf(data, shape[0]);
    const isInverted = invert && invert.checked;
    if (isInverted) values = values.map((value) => 255 - value);
    const thumb = Pictures.canvas(160, Math.max(1, Math.round(160 * canvas.height / canvas.width)));
    thumb.getContext("2d").drawImage(canvas, 0, 0, thumb.width, thumb.height);
    const before = [{ name: words.step_picture, canvas: thumb }];
    const whole = [shape[0], canvas.height, canvas.width];
    if (shape[0] === 1) before.push({ name: isInverted ? words.step_inverted : words.step_gray, canvas: shrunk(values, whole) });
    show(Preprocess.fitted(values, whole, preprocessing), before, null);
  }

  function shrunk(values, whole) {
    const factor = Math.min(1, 160 / Math.max(whole[1], whole[2]));
    const size = [Math.max(1, Math.round(whole[1] * factor)), Math.max(1, Math.round(whole[2] * factor))];
    return Pictures.image(Pictures.canvas(1, 1), Preprocess.resample(values, whole, ...size, true), [whole[0], ...size]);
  }

  const drop = document.getElementById("drop"), input = document.getElementById("file");
  input.addEventListener("change", () => { if (input.files.length) open(input.files[0]); input.value = ""; });
  if (invert) invert.addEventListener("change", showPicture);
  for (const name of ["dragover", "dragenter"]) {
    document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const file = [...event.dataTransfer.files][0];
    if (file) { turn("tab-file"); open(file); }
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files][0];
    if (file) { turn("tab-file"); open(file); }
  });

  const tabs = [...document.querySelectorAll("[role=tab]")];
  function select(id) {
    for (const tab of tabs) {
      const isChosen = tab.id === id;
      tab.setAttribute("aria-selected", String(isChosen)); tab.tabIndex = isChosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !isChosen;
    }
    isDrawing = id === "tab-draw";
  }

  // What the networks are given is what the open tab shows.
  function turn(id) {
    select(id);
    if (id === "tab-draw") showDrawing();
    else if (id === "tab-file") showPicture();
    else choose(chosen);
  }

  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => turn(tab.id));
    tab.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move) return;
      const next = tabs[(i + move + tabs.length) % tabs.length];
      next.focus(); next.click();
    });
  });

  const reveal = document.getElementById("reveal");
  if (reveal) {
    reveal.addEventListener("click", () => {
      for (const network of networks) network.label = network.label === network.name ? network.disguise : network.name;
      const isShown = networks[0].label === networks[0].name;
      reveal.textContent = isShown ? words.hide_again : words.reveal;
      document.title = document.querySelector("h1").textContent = isShown ? Play.titles.named : Play.titles.hidden;
      document.querySelectorAll("footer tbody th").forEach((name, i) => { name.textContent = networks[i].label; });
      Answers.rename(); Inside.rename(); Quiz.rename();
    });
  }
  if (gallery) Quiz.begin(galleryCanvas, (i) => Play.forms.map((form) => Preprocess.normalized(galleryPixels(i), form)));

  window.Playground = { show, open, galleryPixels, choose };
  if (gallery) {
    // The page does not begin with an image that the quiz asks about, as its answer stands there.
    const first = document.getElementById("quiz") ? Play.quiz.length % gallery.labels.length : 0;
    select("tab-gallery"); choose(first);
  }
})();
