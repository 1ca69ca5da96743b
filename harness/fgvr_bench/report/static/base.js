"use strict";
/* Small helpers. Whatever comes from data becomes text, never markup. */
const fgvr = { pieces: new Map(), waiting: new Map() };

/** Show what would move a cursor or turn the direction of text as a sign of its own. */
fgvr.visible = (text) =>
  String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (char) =>
    `⟨U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

/** Make an element: fgvr.el("a.link", {href: "#"}, "text", child). */
fgvr.el = (spec, properties, ...children) => {
  const [tag, ...classes] = spec.split(".");
  const made = document.createElement(tag || "div");
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) made.style.setProperty(name, value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  for (const child of children.flat(9)) {
    if (child === null || child === undefined || child === false) continue;
    made.append(child instanceof Node ? child : fgvr.visible(child));
  }
  return made;
};

/** Put children in the place of what an element holds; what is false is nothing. */
fgvr.fill = (element, ...children) => element.replaceChildren(...children.flat().filter(Boolean));

/** Text from data, kept apart from the text around it whatever its direction. */
fgvr.name = (text) => fgvr.el("bdi.anything", {}, text);

fgvr.percent = (share, digits = 1) => (share === null || share === undefined ? "–" : (100 * share).toFixed(digits));
fgvr.count = (number) => number.toLocaleString("en-GB");
fgvr.plural = (number, one, many = `${one}s`) => `${fgvr.count(number)} ${number === 1 ? one : many}`;
fgvr.say = (text) => { document.getElementById("status").textContent = text; };

/** The state of the page is what follows the # of its address. */
fgvr.state = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
fgvr.link = (state) => {
  const kept = Object.entries(state).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return `#${new URLSearchParams(kept)}`;
};

fgvr.STATES = {
  r: { word: "right", sign: "✓" },
  w: { word: "wrong", sign: "✗" },
  u: { word: "unparsed", sign: "?" },
  f: { word: "failed", sign: "!" },
};
fgvr.mark = (state) =>
  fgvr.el(`span.mark.is-${state}`, { title: fgvr.STATES[state].word },
    fgvr.el("span", { "aria-hidden": "true" }, fgvr.STATES[state].sign),
    fgvr.el("span.visually-hidden", {}, fgvr.STATES[state].word));
