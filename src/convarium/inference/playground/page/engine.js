"use strict";
// Asks networks for answers: in a worker beside the page where the browser allows one, otherwise in the page itself.

const Engine = (() => {
  const texts = [...document.querySelectorAll("script.network")].map((script) => script.textContent);
  const here = [];
  const waiting = new Map();
  let worker = null, next = 0;

  function start() {
    const source = document.getElementById("interpreter").textContent + document.getElementById("worker").textContent;
    try {
      worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
      worker.onmessage = ({ data: { id, result, error } }) => {
        const { resolve, reject } = waiting.get(id);
        waiting.delete(id);
        if (error === undefined) resolve(result); else reject(new Error(error));
      };
      worker.onerror = () => fallBack();
    } catch {
      worker = null;
    }
  }

  // A worker that cannot be started: what it was asked is computed in the page.
  function fallBack() {
    worker = null;
    for (const { request, resolve, reject } of waiting.values()) compute(request).then(resolve, reject);
    waiting.clear();
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

  function ask(request) {
    if (!worker) return compute(request);
    return new Promise((resolve, reject) => {
      waiting.set(next, { request, resolve, reject });
      worker.postMessage({ ...request, id: next++ });
    });
  }

  const loads = [];
  function load(member) {
    loads[member] = loads[member] || (worker
      ? ask({ kind: "load", member, encoded: JSON.parse(texts[member]) })
      : compute({ kind: "load", member }));
    return loads[member];
  }

  async function about(member, request) {
    await load(member);
    return ask({ member, without: [], ...request });
  }

  start();
  return {
    count: texts.length,
    network,
    logits: (member, image, without) => about(member, { kind: "answer", image, without }),
    many: (member, images, without = []) => about(member, { kind: "many", images, without }),
    values: (member, image, without) => about(member, { kind: "values", image, without }),
    gradients: (member, image, target, without) => about(member, { kind: "gradients", image, target, without }),
  };
})();
