"use strict";
// What the page was written with, and its words.

const Play = JSON.parse(document.getElementById("play-data").textContent);

// "{n} of {of}" with its numbers and names. A text that is written in several forms has the one that goes with `n` in the
// language of the page.
const plurals = new Intl.PluralRules(document.documentElement.lang);
function fill(text, values) {
  const form = typeof text === "string" ? text : text[plurals.select(values.n)] || text.other;
  return form.replace(/\{(\w+)\}/g, (whole, name) => name in values ? values[name] : whole);
}

Play.preprocessing = Play.forms[0]; // all forms read an image alike; they differ in its normalization

Play.isHidden = Play.networks.some((network) => network.disguise);
for (const network of Play.networks) {
  network.name = network.label;
  if (network.disguise) network.label = network.disguise;
}

// A name that may be long, with the places where a line of it may end: "resnet(" "depth=8)".
function breakable(name) {
  return name.split(/(?<=\()/).flatMap((part, i) => i ? [document.createElement("wbr"), part] : [part]);
}

// What the bars of a network are painted with. Where there are more networks than colors, these come again in stripes,
// whose direction changes each time.
const STRIPES = [135, 90, 45, 0];
Play.paintOf = ({ color, round }) => round
  ? `repeating-linear-gradient(${STRIPES[(round - 1) % STRIPES.length]}deg, ${color} 0 3px, color-mix(in srgb, ${color} 25%, transparent) 3px 6px)`
  : color;

// Members are single networks with their weights: a network of the study, with one of its seeds, after one of its epochs.
// `epochs` has for each seed the epochs whose weights the page has, those of the seed itself among them.
Play.networkOf = (member) => Play.networks.findIndex(({ members, epochs }) => members.includes(member)
  || epochs.some((seed) => seed.some((one) => one.member === member)));
Play.epochsOf = (member) => {
  const network = Play.networks[Play.networkOf(member)];
  return network.epochs[network.members.indexOf(member)];
};

// "lenet, seed 0": the seed where there are several; with `withEpoch` also "epoch 2", where there are several.
Play.labelOf = (member, withEpoch = false) => {
  const network = Play.networks[Play.networkOf(member)];
  const isOf = (seed, i) => network.members[i] === member || seed.some((one) => one.member === member);
  const place = network.epochs.findIndex(isOf), parts = [network.label];
  if (network.members.length > 1) parts.push(network.member_names[place]);
  const found = network.epochs[place].find((one) => one.member === member);
  if (withEpoch && found) parts.push(found.epoch ? fill(Play.words.epoch_number, { n: found.epoch }) : Play.words.epoch_zero);
  return parts.join(Play.words.separator);
};

// What a member is given: the image by its own preprocessing.
Play.formOf = (member) => Play.networks[Play.networkOf(member)].form;
