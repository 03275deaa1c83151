"use strict";
// Asks networks for answers: in a worker beside the page where the browser allows one, otherwise in the page itself. One
// question is computed at a time, in the order of asking; one that is over when its turn comes, as the drawing has changed
// since, is not computed: its answer is undefined.

const Engine = (() => {
  const texts = [...document.querySelectorAll("script.network")].map((script) => script.textContent);
  const here = [];
  const queue = [];
  let worker = null, current = null;

  function start() {
    const source = document.getElementById("interpreter").textContent + document.getElementById("worker").textContent;
    try {
      worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
      worker.onmessage = ({ data: { result, error } }) => {
        if (!worker) return;
        if (error === undefined) finish("resolve", result); else finish("reject", new Error(error));
      };
      worker.onerror = () => fallBack();
    } catch {
      worker = null;
    }
  }

  // A worker that cannot be started: what it was asked is computed in the page.
  function fallBack() {
    if (!worker) return;
    worker = null;
    if (current) computeHere(current);
  }

  function finish(how, value) {
    const done = current;
    current = null;
    next();
    done[how](value);
  }

  function next() {
    while (!current && queue.length) {
      const one = queue.shift();
      if (one.isOver()) { one.resolve(undefined); continue; }
      current = one;
      if (worker) worker.postMessage(one.request); else computeHere(one);
    }
  }

  function computeHere({ request }) {
    compute(request).then((result) => finish("resolve", result), (error) => finish("reject", error));
  }

  // The network, with its weights, in the page itself.
  function network(member) {
    here[member] = here[member] || Interpreter.load(JSON.parse(texts[member]));
    return here[member];
  }

  async function compute({ kind, member, image, target, without, images }) {
    await new Promise((resume) => setTimeout(resume));
    if (kind === "load") { network(member); return undefined; }
    const removed = new Set(without), one = network(member);
    if (kind === "answer") return Interpreter.run(one, image, removed).at(-1);
    if (kind === "many") return images.map((picture) => Interpreter.run(one, picture, removed).at(-1));
    const values = Interpreter.run(one, image, removed);
    return kind === "values" ? values : { values, gradients: Gradients.gradients(one, values, target, removed) };
  }

  function ask(request, isOver) {
    return new Promise((resolve, reject) => {
      queue.push({ request, isOver, resolve, reject });
      next();
    });
  }

  const loads = [];
  function load(member) {
    if (!loads[member]) {
      const encoded = worker ? JSON.parse(texts[member]) : null;
      loads[member] = ask({ kind: "load", member, encoded }, () => false);
    }
    return loads[member];
  }

  async function about(member, request, isOver = () => false) {
    await load(member);
    return ask({ member, without: [], ...request }, isOver);
  }

  start();
  return {
    count: texts.length,
    network,
    logits: (member, image, without, isOver) => about(member, { kind: "answer", image, without }, isOver),
    many: (member, images, without = []) => about(member, { kind: "many", images, without }),
    values: (member, image, without, isOver) => about(member, { kind: "values", image, without }, isOver),
    gradients: (member, image, target, without, isOver) =>
      about(member, { kind: "gradients", image, target, without }, isOver),
  };
})();
