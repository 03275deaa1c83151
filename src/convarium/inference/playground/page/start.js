"use strict";
// What the page was written with, and its words.

const Play = JSON.parse(document.getElementById("play-data").textContent);

// "{n} of {of}" with its numbers and names.
function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => name in values ? values[name] : whole);
}

Play.preprocessing = Play.forms[0]; // all forms read an image alike; they differ in its normalization

Play.isHidden = Play.networks.some((network) => network.disguise);
for (const network of Play.networks) {
  network.name = network.label;
  if (network.disguise) network.label = network.disguise;
}

// What a single network, a member of one of the study, is given: the image by its own preprocessing.
Play.networkOf = (member) => Play.networks.findIndex((network) => network.members.includes(member));
Play.formOf = (member) => Play.networks[Play.networkOf(member)].form;
