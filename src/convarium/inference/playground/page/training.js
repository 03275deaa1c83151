"use strict";
// How a network learned: a slider over the epochs whose weights the page has, what the network said after each of them,
// and the filters of its first layer.

const Training = (() => {
  const { words, classes } = Play;
  const { element, firstLayer, largest, filters } = Stages;
  const PAUSE = 800, MOST_FILTERS = 32;

  // `box`: the element with the slider; `onChange` is called when another epoch is chosen.
  function panel(box, onChange) {
    const slider = box.querySelector("input"), said = box.querySelector("output"), play = box.querySelector("button");
    const row = box.querySelector(".epochs"), kernels = box.querySelector(".kernels");
    let epochs = [], answers = [], most = 0, version = 0, timer = null;
    const at = () => Number(slider.value);

    // `seed`: a network as it was trained; `place`: the number of one of its epochs, by default that with its own weights.
    function choose(seed, place = null) {
      stop();
      version++;
      epochs = seed === null ? [] : Play.epochsOf(seed);
      answers = [];
      box.hidden = epochs.length < 2;
      if (box.hidden) return;
      slider.max = epochs.length - 1;
      slider.value = place ?? epochs.findIndex(({ member }) => member === seed);
      const layers = epochs.map(({ member }) => firstLayer(Engine.network(member)));
      most = layers[0] ? Math.max(...layers.map(largest)) : 0;
      row.replaceChildren(...epochs.map(({ epoch }, i) => {
        const bar = element("b"), answer = element("span", { className: "answer", textContent: "–" });
        const button = element("button", { type: "button", tabIndex: -1 },
          element("span", { className: "column" }, bar), answer, element("small", { textContent: epoch }));
        button.addEventListener("click", () => { stop(); move(i); });
        return button;
      }));
      show();
    }

    function move(place) {
      slider.value = place;
      show();
      onChange();
    }

    // The chosen epoch: its number, its answer, and its filters.
    function show() {
      const { epoch, member } = epochs[at()], answer = answers[at()];
      const name = epoch === 0 ? words.epoch_zero : fill(words.epoch_of, { n: epoch, of: epochs.at(-1).epoch });
      said.textContent = name;
      slider.setAttribute("aria-valuetext", answer ? `${name}, ${percent(answer)}` : name);
      [...row.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === at())));
      const network = Engine.network(member), layer = firstLayer(network);
      kernels.hidden = !layer;
      if (layer) {
        kernels.replaceChildren(element("p", { className: "small soft", textContent: words.filters_learned }),
          element("div", { className: "wide" }, ...filters(network, layer, MOST_FILTERS, most)));
      }
    }

    const percent = ({ best, share }) => fill(words.says_with, { name: classes[best], share: Math.round(100 * share) });

    // What the network said after each epoch, or nothing where there is no image: the bar is the probability of what it says in the end.
    async function ask(inputs, without, label) {
      const mine = ++version, all = [];
      if (box.hidden) return;
      if (!inputs) {
        answers = [];
        for (const button of row.children) {
          button.querySelector("b").style.height = 0;
          button.querySelector(".answer").textContent = "–";
        }
        show();
        return;
      }
      for (const { member } of epochs) {
        const logits = await Engine.logits(member, inputs[Play.formOf(member)], without, () => mine !== version);
        if (mine !== version) return;
        all.push(Interpreter.softmax(logits));
      }
      const final = all.at(-1).indexOf(Math.max(...all.at(-1)));
      answers = all.map((shares) => {
        const share = Math.max(...shares);
        return { best: shares.indexOf(share), share, ofFinal: shares[final] };
      });
      answers.forEach((answer, i) => {
        const button = row.children[i], { epoch } = epochs[i];
        button.querySelector("b").style.height = `${100 * answer.ofFinal}%`;
        const text = button.querySelector(".answer");
        text.textContent = classes[answer.best];
        text.className = `answer${label === null ? "" : answer.best === label ? " right" : " wrong"}`;
        const name = epoch === 0 ? words.epoch_zero : fill(words.epoch_number, { n: epoch });
        button.setAttribute("aria-label", `${name}: ${percent(answer)}`);
        button.title = `${name}: ${percent(answer)}`;
      });
      show();
    }

    function stop() {
      clearInterval(timer);
      timer = null;
      play.textContent = `▶ ${words.play_epochs}`;
    }

    slider.addEventListener("input", () => { stop(); move(at()); });
    play.addEventListener("click", () => {
      if (timer) { stop(); return; }
      play.textContent = `■ ${words.stop_epochs}`;
      move(at() === epochs.length - 1 ? 0 : at() + 1);
      timer = setInterval(() => {
        move(at() + 1);
        if (at() === epochs.length - 1) stop();
      }, PAUSE);
    });
    stop();
    return { choose, ask, stop, place: at, member: () => epochs.length > 1 ? epochs[at()].member : null };
  }

  return { panel };
})();
