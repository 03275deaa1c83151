// Runs beside the page: interpreter.js and gradients.js stand before this in one script.
const loaded = [];

onmessage = ({ data: { kind, member, image, target, without, encoded, images } }) => {
  try {
    if (kind === "load") { loaded[member] = Interpreter.load(encoded); postMessage({}); return; }
    const network = loaded[member], removed = new Set(without);
    if (kind === "answer") {
      postMessage({ result: Interpreter.run(network, image, removed).at(-1) });
    } else if (kind === "many") {
      postMessage({ result: images.map((one) => Interpreter.run(network, one, removed).at(-1)) });
    } else if (kind === "values") {
      postMessage({ result: Interpreter.run(network, image, removed) });
    } else {
      const values = Interpreter.run(network, image, removed);
      postMessage({ result: { values, gradients: Gradients.gradients(network, values, target, removed) } });
    }
  } catch (error) {
    postMessage({ error: String(error && error.message || error) });
  }
};
