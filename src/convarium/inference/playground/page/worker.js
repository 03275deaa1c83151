// Runs beside the page: interpreter.js and gradients.js stand before this in one script.
const loaded = [];

onmessage = ({ data: { id, kind, member, image, target, without, encoded, images } }) => {
  try {
    if (kind === "load") { loaded[member] = Interpreter.load(encoded); postMessage({ id }); return; }
    const network = loaded[member], removed = new Set(without);
    if (kind === "answer") {
      postMessage({ id, result: Interpreter.run(network, image, removed).at(-1) });
    } else if (kind === "many") {
      postMessage({ id, result: images.map((one) => Interpreter.run(network, one, removed).at(-1)) });
    } else if (kind === "values") {
      postMessage({ id, result: Interpreter.run(network, image, removed) });
    } else {
      const values = Interpreter.run(network, image, removed);
      postMessage({ id, result: { values, gradients: Gradients.gradients(network, values, target, removed) } });
    }
  } catch (error) {
    postMessage({ id, error: String(error && error.message || error) });
  }
};
