"use strict";
// What every network says to the image: a chart of bars each, their vote, and whether they agree.

const Answers = (() => {
  const { words, classes, networks } = Play;
  const grid = document.getElementById("networks"), agreement = document.getElementById("agreement");
  const timing = document.getElementById("timing");
  const cards = networks.map((network) => card(network.label, Play.paintOf(network), network));
  const vote = networks.some((network) => network.members.length > 1) || networks.length > 1 ? card(words.vote, "var(--accent)") : null;
  if (vote) { vote.element.classList.add("vote"); grid.prepend(vote.element); }
  const everyCard = vote ? [vote, ...cards] : cards;
  const order = [...networks.keys()].sort((a, b) => networks[a].flops - networks[b].flops);
  const MOST_NAMED = 4;
  let version = 0, truth = null;

  function card(label, shade, network) {
    const element = document.createElement("article");
    element.className = "network";
    const title = document.createElement("h3"), swatch = document.createElement("span");
    swatch.className = "swatch"; swatch.style.background = shade; swatch.setAttribute("aria-hidden", "true");
    const head = document.createElement("header");
    head.append(swatch, title);
    const said = document.createElement("p"); said.className = "said"; said.textContent = "–";
    const bars = document.createElement("table"); bars.className = "bars";
    const seeds = document.createElement("p"); seeds.className = "seeds"; seeds.hidden = true;
    element.append(head, said, bars, seeds);
    if (network) {
      const foot = document.createElement("footer"), look = document.createElement("button");
      look.type = "button"; look.textContent = words.look_inside;
      look.addEventListener("click", () => Inside.show(networks.indexOf(network)));
      foot.append(look);
      element.append(foot);
    }
    grid.append(element);
    const made = { element, title, said, bars, seeds, shade, before: null, now: null };
    call(made, label);
    return made;
  }

  // The name of a card, and those of its parts for a screen reader.
  function call({ element, title, bars }, label) {
    title.replaceChildren(...breakable(label));
    bars.setAttribute("aria-label", fill(words.bars_of, { network: label }));
    const look = element.querySelector("footer button");
    if (look) look.setAttribute("aria-label", `${words.look_inside}: ${label}`);
  }

  // The classes that a card shows: all of ten, otherwise the likeliest, and the true one.
  function shown(shares, label) {
    if (classes.length <= 10) return [...classes.keys()];
    const best = [...classes.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, 8);
    return label === null || best.includes(label) ? best : [...best.slice(0, 7), label];
  }

  function percent(share) {
    if (share > 0.9995) return "100 %";
    return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
  }

  function draw(one, members, label) {
    const shares = members[0].map((_, c) => members.reduce((sum, member) => sum + member[c], 0) / members.length);
    const best = shares.indexOf(Math.max(...shares));
    one.now = shares; one.best = best;
    one.said.textContent = classes[best];
    one.said.className = `said${classes[best].length > 9 ? " long" : ""}`;
    if (label !== null) one.said.classList.add(best === label ? "right" : "wrong");
    if (label !== null) one.said.append(best === label ? " ✓" : " ✗");
    one.bars.replaceChildren(...shown(shares, label).map((c) => {
      const row = document.createElement("tr"), name = document.createElement("th"), cell = document.createElement("td");
      const track = document.createElement("div"), bar = document.createElement("b"), share = document.createElement("td");
      name.scope = "row"; name.textContent = classes[c]; name.title = classes[c];
      if (c === label) row.className = "true";
      track.className = "track";
      if (one.before) {
        const ghost = document.createElement("i");
        ghost.style.width = `${100 * one.before[c]}%`;
        track.append(ghost);
      }
      bar.style.width = `${100 * shares[c]}%`;
      bar.style.setProperty("--fill", one.shade);
      track.append(bar);
      if (members.length > 1) {
        for (const member of members) {
          const tick = document.createElement("u");
          tick.style.left = `calc(${100 * member[c]}% - 1px)`;
          track.append(tick);
        }
      }
      cell.append(track);
      share.className = "share"; share.textContent = percent(shares[c]);
      row.append(name, cell, share);
      return row;
    }));
    one.seeds.hidden = members.length < 2;
    const same = members.filter((member) => member.indexOf(Math.max(...member)) === best).length;
    const say = fill(words.seeds_say, { n: same, of: members.length, name: classes[best] });
    one.seeds.textContent = `${say} · ${words.bars_are}`;
  }

  // The first few of the networks that say something else, and how many more do.
  function listed(others) {
    const named = others.slice(0, MOST_NAMED).join(words.separator), rest = others.length - MOST_NAMED;
    return rest > 0 ? fill(words.others_too, { named, n: rest }) : named;
  }

  function agree(label) {
    truth = label;
    const said = networks.map((network, i) => ({ name: network.label, best: cards[i].best }));
    const counts = new Map();
    for (const { best } of said) counts.set(best, (counts.get(best) || 0) + 1);
    const [top, n] = [...counts].sort((a, b) => b[1] - a[1])[0];
    const others = said.filter(({ best }) => best !== top)
      .map(({ name, best }) => fill(words.answer_of, { network: name, name: classes[best] }));
    const one = said.length === 1 ? words.one_says : others.length ? words.most_say
      : said.length === 2 ? words.both_say : words.all_say;
    const added = label === null ? "" : words.between_sentences + fill(words.true_class, { name: classes[label] });
    agreement.textContent = fill(one, { name: classes[top], n, of: said.length, others: listed(others) }) + added;
  }

  // Asks every network about an image, normalized in each of `Play.forms`. `label` is the true class, or null.
  // `isContinued`: while one stroke is drawn, the answers before it stay those that are shown in gray. Returns whether all
  // have answered: not where another image came before.
  async function ask(inputs, label, isContinued = false) {
    if (!isContinued) for (const one of everyCard) one.before = one.now;
    delete document.body.dataset.answered;
    const mine = ++version, start = performance.now(), all = [], isOver = () => mine !== version;
    for (const i of order) {
      const members = [];
      for (const member of networks[i].members) {
        const logits = await Engine.logits(member, inputs[networks[i].form], [], isOver);
        if (isOver()) return false;
        members.push(Array.from(Interpreter.softmax(logits)));
      }
      all.push(...members);
      draw(cards[i], members, label);
    }
    if (vote) draw(vote, all, label);
    document.getElementById("before").hidden = !cards[0].before;
    agree(label);
    timing.textContent = fill(words.took, { ms: Math.round(performance.now() - start) });
    document.body.dataset.answered = mine;
    return true;
  }

  function clear() {
    version++;
    for (const one of everyCard) {
      one.said.textContent = "–"; one.said.className = "said"; one.bars.replaceChildren();
      one.before = one.now = null; one.seeds.hidden = true;
    }
    agreement.textContent = words.nothing_yet;
    timing.textContent = "";
    document.getElementById("before").hidden = true;
  }

  function rename() {
    networks.forEach((network, i) => call(cards[i], network.label));
    if (cards.every((one) => one.now)) agree(truth);
  }

  clear();
  return { ask, clear, rename, best: (i) => cards[i].best };
})();
