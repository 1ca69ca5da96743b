/* One run: its figures, what it confuses, and what it was. */
fgvr.runView = async (section, state) => {
  const figures = await fgvr.figures(state.run);
  const column = await fgvr.column(figures.column);
  const questions = (more) => fgvr.link({ view: "questions", column: figures.column, run: state.run, ...more });
  const open = (place) => fgvr.el("a", { href: questions({ class: place }) }, fgvr.name(column.shown[place]));
  const directory = await fgvr.load("report");
  const charts = [
    fgvr.classChart(figures, column, open),
    figures.matrix && figures.matrix.length && fgvr.matrixChart(figures, column),
    figures.positions.length && fgvr.positionChart(figures),
    figures.ranks.length && fgvr.rankChart(figures),
    figures.margins.length && fgvr.marginChart(figures),
    figures.calibration.length && fgvr.calibrationChart(figures),
  ].filter(Boolean);
  const title = `${figures.label} on ${column.dataset}`;
  fgvr.fill(section,
    fgvr.el("p.crumbs", {}, fgvr.el("a", { href: "#" }, "Board")),
    fgvr.el("h1", { tabindex: "-1" }, fgvr.name(figures.label), fgvr.el("span.on", {}, " on ", fgvr.name(column.dataset))),
    fgvr.el("p.lede.anything", { dir: "auto" }, figures.card.title || ""),
    fgvr.headline(figures, column, questions),
    fgvr.pairs(figures, column, state, questions),
    fgvr.el("h2", {}, "Figures"),
    fgvr.el("div.cards", {}, charts),
    fgvr.el("div.columns", {}, fgvr.rules(figures, questions), fgvr.metrics(figures, directory), fgvr.inputs(figures)),
  );
  charts.forEach((chart) => chart.draw());
  section.redraw = () => charts.forEach((chart) => chart.draw());
  return title;
};

fgvr.headline = (figures, column, questions) => {
  const counts = { w: 0, u: 0, f: 0 };
  figures.rules.forEach(([[, state], count]) => { if (state in counts) counts[state] += count; });
  const fact = (value, words, href) => fgvr.el("li", {}, fgvr.el("b", {}, value), " ", href ? fgvr.el("a", { href }, words) : words);
  const limits = figures.interval && fgvr.el("small", {}, ` ${fgvr.percent(figures.interval[0])} to ${fgvr.percent(figures.interval[1])}`);
  return fgvr.el("ul.headline", { "aria-label": "In short" },
    fgvr.el("li.first", {}, fgvr.el("b", {}, `${fgvr.percent(figures.right / figures.questions)} %`), " accuracy", limits),
    fact(fgvr.count(figures.questions), "questions", questions({})),
    fact(fgvr.count(counts.w), "wrong", questions({ show: "wrong" })),
    fact(fgvr.count(counts.u), "unparsed", counts.u && questions({ show: "unparsed" })),
    counts.f > 0 && fact(fgvr.count(counts.f), "failed", questions({ show: "failed" })),
    figures.blank && fgvr.el("li", {}, "the model saw grey pictures"));
};

/** The hardest pairs: pictures of both classes side by side, those that were mistaken first. */
fgvr.pairs = (figures, column, state, questions) => {
  if (!figures.pairs.length) return null;
  const list = fgvr.el("ol.pairs");
  const most = 6;
  const cards = figures.pairs.map((pair) => fgvr.pairCard(pair, figures, column, questions));
  const shown = (count) => list.replaceChildren(...cards.slice(0, count).map((card) => card()));
  shown(most);
  const more = cards.length > most && fgvr.el("button.quiet", { type: "button", onclick: (event) => { shown(cards.length); event.target.remove(); } }, `Show ${cards.length - most} more pairs`);
  return fgvr.el("section", { "aria-labelledby": "pairs-title" },
    fgvr.el("h2", { id: "pairs-title" }, "Taken for one another"),
    fgvr.el("p.hint", {}, "The pairs with the most mistakes, of the times that the other one was offered."), list, more);
};

fgvr.pairCard = (pair, figures, column, questions) => () => {
  const [one, two] = pair.names;
  const sibling = column.groups[one] && column.groups[one] === column.groups[two];
  const side = (truth, other, [taken, offered, examples], right) =>
    fgvr.el("div.side", {},
      fgvr.el("h4", {}, fgvr.name(column.shown[truth])),
      fgvr.el("p", {}, fgvr.el("b", {}, `${fgvr.count(taken)} of ${fgvr.count(offered)}`), " called ", fgvr.name(column.shown[other])),
      column.album
        ? fgvr.el("div.strip-of-pictures", {}, fgvr.thumbs(figures, column, fgvr.mixed(examples, right), truth, questions))
        : examples.length > 0 && fgvr.el("p", {}, "questions ", examples.map((place, at) => [at ? ", " : "", fgvr.el("a", { href: questions({ question: place }) }, fgvr.count(place + 1))])));
  return fgvr.el("li.pair", {},
    sibling && fgvr.el("p.tag", {}, "siblings: ", fgvr.name(column.groups[one])),
    fgvr.el("div.sides", {}, side(one, two, pair.sides[0], pair.right[0]), side(two, one, pair.sides[1], pair.right[1])));
};

/** Four pictures of a class: mistaken ones first, then such as were known, as far as there are any. */
fgvr.mixed = (wrong, right) => {
  const known = right.slice(0, Math.max(2, 4 - wrong.length));
  return [...wrong.slice(0, 4 - known.length).map((place) => [place, "w"]), ...known.map((place) => [place, "r"])];
};

fgvr.thumbs = (figures, column, places, truth, questions) =>
  places.map(([place, state]) => {
    const link = fgvr.el(`a.thumb.is-${state}`, { href: questions({ question: place }) });
    const words = `${column.shown[truth]}, answered ${state === "r" ? "rightly" : "wrongly"}`;
    link.append(fgvr.picture(null, words), fgvr.mark(state));
    fgvr.question(figures.column, place).then((question) => link.firstChild.replaceWith(fgvr.picture(question.picture, words)));
    return link;
  });

/** A picture, or a place that says that there is none. */
fgvr.picture = (source, words, large = false) =>
  source
    ? fgvr.el("img", { src: source, alt: fgvr.visible(words), loading: large ? "eager" : "lazy", decoding: "async" })
    : fgvr.el("span.lost", { role: "img", "aria-label": fgvr.visible(`${words} (no picture)`) }, "no picture");

fgvr.rules = (figures, questions) =>
  fgvr.el("section.card", { "aria-labelledby": "rules-title" }, fgvr.el("h3", { id: "rules-title" }, "What decided"),
    fgvr.el("p.hint", {}, "The parser's rule for every answer."),
    fgvr.table("Rules that decided", ["rule", "outcome", "answers"],
      figures.rules.map(([[rule, state], count]) => [
        fgvr.el("a", { href: questions({ rule, show: { r: "right", w: "wrong", u: "unparsed", f: "failed" }[state] }) }, fgvr.name(rule)),
        fgvr.STATES[state].word, fgvr.count(count)])));

fgvr.metrics = (figures, directory) =>
  fgvr.el("section.card", { "aria-labelledby": "metrics-title" }, fgvr.el("h3", { id: "metrics-title" }, "All metrics"),
    fgvr.el("p.hint", {}, `As stored by fgvr-bench ${figures.scored.then}.`),
    fgvr.table("Metrics", ["metric", "value"],
      Object.entries(figures.metrics).filter(([, value]) => value !== null).map(([name, value]) => {
        const [title, isShare] = Object.hasOwn(directory.metrics, name) ? directory.metrics[name] : [name, true];
        return [title, isShare ? `${fgvr.percent(value)} %` : value.toLocaleString("en-GB", { maximumFractionDigits: 1 })];
      })));

fgvr.inputs = (figures) =>
  fgvr.el("section.card", { "aria-labelledby": "inputs-title" }, fgvr.el("h3", { id: "inputs-title" }, "What was run"),
    fgvr.el("p.hint", {}, "Everything declared that can change an answer."),
    fgvr.el("dl.inputs", {}, Object.entries({ ...figures.card, run: figures.key, ...figures.inputs }).map(([name, value]) => [
      fgvr.el("dt", {}, fgvr.name(name)), fgvr.el("dd", {}, fgvr.name(value.length > 160 ? `${value.slice(0, 160)}…` : value))])));
