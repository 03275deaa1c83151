"use strict";
// Ten images on which the networks disagree: the class says what it sees first, then the networks answer.

const Quiz = (() => {
  const { words, classes, networks, quiz, gallery } = Play;
  const stage = document.getElementById("quiz-stage"), status = document.getElementById("quiz-status");
  if (!stage) return { begin: () => {}, rename: () => {} };
  let score = null, lines = [], imageAt = null, inputsAt = null;

  // A line of a list that names a network; `text` gives it anew when the names are shown or hidden.
  function line(text) {
    const item = document.createElement("li");
    item.textContent = text();
    lines.push({ item, text });
    return item;
  }

  // `images`: the canvas of a test image, by its number; `inputs`: what the networks are given of it.
  function begin(images, inputs) {
    imageAt = images; inputsAt = inputs;
    stage.replaceChildren(starter(words.quiz_start));
  }

  // The button that begins, with nothing counted.
  function starter(text) {
    const start = document.createElement("button");
    start.type = "button"; start.textContent = text;
    start.addEventListener("click", () => {
      score = { right: 0, asked: 0, networks: networks.map(() => 0) };
      ask(0);
    });
    return start;
  }

  function ask(n) {
    if (n >= quiz.length) { finish(); return; }
    const index = quiz[n], canvas = imageAt(index);
    canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", fill(words.quiz_image, { n: n + 1 }));
    const choices = document.createElement("div");
    choices.className = "choices";
    status.textContent = fill(words.quiz_question, { n: n + 1, of: quiz.length });
    for (const [c, name] of classes.entries()) {
      const button = document.createElement("button");
      button.type = "button"; button.textContent = name;
      button.addEventListener("click", () => answer(n, c, choices));
      choices.append(button);
    }
    stage.replaceChildren(canvas, choices);
    choices.firstChild.focus();
  }

  async function answer(n, chosen, choices) {
    for (const [c, button] of [...choices.children].entries()) {
      button.disabled = true; button.setAttribute("aria-pressed", String(c === chosen));
    }
    const truth = gallery.labels[quiz[n]], list = document.createElement("ul"), inputs = inputsAt(quiz[n]);
    score.asked++;
    lines = [];
    score.right += chosen === truth;
    for (const [i, network] of networks.entries()) {
      const logits = await Engine.logits(network.members[0], inputs[network.form]), said = logits.indexOf(Math.max(...logits));
      score.networks[i] += said === truth;
      const mark = said === truth ? "✓" : "✗";
      list.append(line(() => `${fill(words.answer_of, { network: network.label, name: classes[said] })} ${mark}`));
    }
    status.textContent = fill(chosen === truth ? words.quiz_right : words.quiz_wrong, { name: classes[truth] });
    const next = document.createElement("button");
    next.type = "button"; next.textContent = n + 1 < quiz.length ? words.quiz_next : words.quiz_end;
    next.addEventListener("click", () => ask(n + 1));
    const box = document.createElement("div");
    box.append(list, next);
    stage.append(box);
    next.focus();
  }

  function finish() {
    const list = document.createElement("ul");
    const result = (name, n) => fill(words.quiz_score, { name, n, of: score.asked });
    lines = [];
    list.append(line(() => result(words.quiz_you, score.right)),
      ...networks.map((network, i) => line(() => result(network.label, score.networks[i]))));
    status.textContent = words.quiz_over;
    const again = starter(words.quiz_again), box = document.createElement("div");
    box.append(list, again);
    stage.replaceChildren(box);
    again.focus();
  }

  return { begin, rename: () => lines.forEach(({ item, text }) => { item.textContent = text(); }) };
})();
