/* Charts by Observable Plot, in the colours of the page; beside each stands a table of the same figures. */
fgvr.figure = (title, note, draw, head, rows) => {
  const canvas = fgvr.el("div.canvas", { role: "img", "aria-label": `${title}. The figures are in the table below.` });
  const table = fgvr.table(title, head, rows);
  const figure = fgvr.el("figure.card", {},
    fgvr.el("figcaption", {}, fgvr.el("h3", {}, title), note && fgvr.el("p.hint", {}, note)),
    canvas,
    fgvr.el("details", {}, fgvr.el("summary", {}, "The figures as a table"), fgvr.el("div.scroll", { tabindex: "0", role: "region", "aria-label": title }, table)));
  figure.draw = () => {
    const width = Math.max(260, Math.floor(canvas.clientWidth));
    canvas.replaceChildren(...draw(width));
  };
  return figure;
};

fgvr.table = (caption, head, rows) =>
  fgvr.el("table.plain", {},
    fgvr.el("caption.visually-hidden", {}, caption),
    fgvr.el("thead", {}, fgvr.el("tr", {}, head.map((each, place) => fgvr.el(place ? "th.number" : "th", { scope: "col" }, each)))),
    fgvr.el("tbody", {}, rows.map((row) => fgvr.el("tr", {}, row.map((cell, place) =>
      place ? fgvr.el("td.number", {}, cell) : fgvr.el("th", { scope: "row" }, cell instanceof Node ? cell : fgvr.name(cell)))))));

fgvr.type = { background: "none", fontFamily: "inherit", fontSize: "12px", overflow: "visible" };

fgvr.plot = (width, settings) =>
  Plot.plot({
    width,
    style: fgvr.type,
    ...settings,
  });

const share = { domain: [0, 100], label: null, tickFormat: (value) => `${value} %`, grid: true };
const ACCENT = "var(--accent)";
const SOFT = "var(--soft)";

fgvr.classChart = (figures, column, open) => {
  const rows = figures.classes
    .map(([place, asked, right, lost]) => ({
      place, asked, right, lost, name: fgvr.visible(column.shown[place]), percent: (100 * right) / asked,
    }))
    .sort((one, other) => one.percent - other.percent || one.name.localeCompare(other.name));
  const few = rows.length > 48;
  let all = !few;
  const width = (total) => Math.min(190, total * 0.42);
  const short = (name, total) => (name.length > width(total) / 6.6 ? `${name.slice(0, Math.floor(width(total) / 6.6) - 1)}…` : name);
  const draw = (total) => {
    const shown = all ? rows : [...rows.slice(0, 24), ...rows.slice(-8)];
    const chart = fgvr.plot(total, {
      marginLeft: width(total), marginRight: 44, marginTop: 22, marginBottom: 4,
      height: shown.length * 19 + 30,
      x: { ...share, axis: "top" },
      y: { domain: shown.map((row) => row.place), label: null, tickSize: 0, tickFormat: (place) => short(fgvr.visible(column.shown[place]), total) },
      marks: [
        Plot.ruleX([(100 * figures.right) / figures.questions], { stroke: "currentColor", strokeDasharray: "2,3", strokeOpacity: 0.6 }),
        Plot.ruleY(shown, { y: "place", x1: 0, x2: "percent", stroke: SOFT, strokeWidth: 2 }),
        Plot.dot(shown, { y: "place", x: "percent", r: 4, fill: ACCENT,
          title: (row) => `${row.name}\n${row.right} of ${row.asked} right${row.lost ? `, ${row.lost} without an answer` : ""}`, tip: { fill: "var(--paper)" } }),
        Plot.text(shown, { y: "place", x: "percent", text: (row) => row.percent.toFixed(0), dx: 9, textAnchor: "start", fill: "currentColor" }),
      ],
    });
    const more = few && fgvr.el("button.quiet", { type: "button", onclick: () => { all = !all; figure.draw(); } },
      all ? "Show the ends only" : `Show all ${rows.length} classes (the 24 hardest and the 8 easiest are shown)`);
    return more ? [chart, more] : [chart];
  };
  const figure = fgvr.figure("Accuracy by class", "Hardest first; the dashed line is all questions together.", draw,
    ["class", "right", "asked", "accuracy in %", "no answer"],
    rows.map((row) => [open(row.place), fgvr.count(row.right), fgvr.count(row.asked), row.percent.toFixed(1), fgvr.count(row.lost)]));
  return figure;
};

fgvr.positionChart = (figures) => {
  const asked = figures.positions.reduce((sum, [, stood]) => sum + stood, 0);
  const given = figures.positions.reduce((sum, [, , , each]) => sum + each, 0);
  const rows = figures.positions.map(([letter, stood, right, each]) => ({
    letter, stood, right, each, accuracy: stood ? (100 * right) / stood : null,
    truth: (100 * stood) / asked, given: given ? (100 * each) / given : 0,
  }));
  const most = Math.max(40, ...rows.map((row) => Math.max(row.truth, row.given))) * 1.15;
  const draw = (width) => [
    fgvr.el("p.chart-title", {}, "Accuracy where the truth stands behind the letter"),
    fgvr.plot(width, {
      height: 150, marginLeft: 44, x: { label: null, domain: rows.map((row) => row.letter), padding: 0.35 }, y: share,
      marks: [Plot.barY(rows, { x: "letter", y: "accuracy", fill: ACCENT, rx: 2 }),
        Plot.text(rows, { x: "letter", y: "accuracy", text: (row) => (row.accuracy === null ? "" : row.accuracy.toFixed(1)), dy: -8, fill: "currentColor" }), Plot.ruleY([0])],
    }),
    fgvr.el("p.chart-title", {}, "How often the letter was given (bar), and how often it was the truth (line)"),
    fgvr.plot(width, {
      height: 150, marginLeft: 44, x: { label: null, domain: rows.map((row) => row.letter), padding: 0.35 }, y: { ...share, domain: [0, most] },
      marks: [Plot.barY(rows, { x: "letter", y: "given", fill: SOFT, rx: 2 }),
        Plot.tickY(rows, { x: "letter", y: "truth", stroke: "currentColor", strokeWidth: 2 }),
        Plot.text(rows, { x: "letter", y: (row) => Math.max(row.given, row.truth), text: (row) => row.given.toFixed(1), dy: -8, fill: "currentColor" }), Plot.ruleY([0])],
    }),
  ];
  return fgvr.figure("Position bias", "A model that reads the options has no favourite letter.", draw,
    ["letter", "truth there", "right then", "accuracy in %", "given"],
    rows.map((row) => [row.letter, fgvr.count(row.stood), fgvr.count(row.right), row.accuracy === null ? "–" : row.accuracy.toFixed(1), fgvr.count(row.each)]));
};

fgvr.rankChart = (figures) => {
  const rows = figures.ranks.map(([name, asked, right]) => ({ name, asked, right, percent: (100 * right) / asked }));
  const draw = (width) => [fgvr.plot(width, {
    height: 220, marginLeft: 44, marginBottom: 40, y: share,
    x: { label: null, domain: rows.map((row) => row.name), padding: 0.35, tickFormat: (name) => `${name}\nn = ${fgvr.count(rows.find((row) => row.name === name).asked)}` },
    marks: [Plot.barY(rows, { x: "name", y: "percent", fill: ACCENT, rx: 2 }),
      Plot.text(rows, { x: "name", y: "percent", text: (row) => row.percent.toFixed(0), dy: -8, fill: "currentColor" }), Plot.ruleY([0])],
  })];
  return fgvr.figure("Difficulty: rank of the truth", "Among all labels, by the similarity of the model that chose the options; 1 is the most similar.", draw,
    ["rank", "asked", "right", "accuracy in %"], rows.map((row) => [row.name, fgvr.count(row.asked), fgvr.count(row.right), row.percent.toFixed(1)]));
};

fgvr.marginChart = (figures) => {
  const rows = figures.margins.map(([low, high, asked, right]) => ({ low, high, asked, right, middle: (low + high) / 2, percent: (100 * right) / asked }));
  const draw = (width) => [fgvr.plot(width, {
    height: 220, marginLeft: 44, marginBottom: 44, x: { label: "similarity of the truth less that of the nearest wrong label", labelAnchor: "center", labelArrow: "none", nice: true }, y: share,
    marks: [Plot.ruleX([0], { strokeOpacity: 0.4 }), Plot.ruleY(rows, { y: "percent", x1: "low", x2: "high", stroke: SOFT, strokeWidth: 6, strokeLinecap: "round" }),
      Plot.line(rows, { x: "middle", y: "percent", stroke: ACCENT }), Plot.dot(rows, { x: "middle", y: "percent", fill: ACCENT, r: 4 })],
  })];
  return fgvr.figure("Difficulty: margin of the truth", "Eight parts of equal size; left of 0 the options' own model prefers a wrong label.", draw,
    ["margins", "asked", "right", "accuracy in %"],
    rows.map((row) => [`${row.low.toFixed(3)} to ${row.high.toFixed(3)}`, fgvr.count(row.asked), fgvr.count(row.right), row.percent.toFixed(1)]));
};

fgvr.calibrationChart = (figures) => {
  const rows = figures.calibration.map(([, count, right, sure]) => ({ count, sure: 100 * sure, percent: (100 * right) / count, right }));
  const error = figures.metrics["calibration-error"];
  const draw = (width) => [fgvr.plot(width, {
    height: Math.min(width, 320), marginLeft: 44, marginBottom: 44, x: { ...share, label: "confidence", labelAnchor: "center", labelArrow: "none" }, y: { ...share, label: "accuracy" }, r: { range: [3, 16] },
    marks: [Plot.line([[0, 0], [100, 100]], { stroke: "currentColor", strokeDasharray: "2,3", strokeOpacity: 0.6 }),
      Plot.line(rows, { x: "sure", y: "percent", stroke: ACCENT, strokeOpacity: 0.5 }),
      Plot.dot(rows, { x: "sure", y: "percent", r: "count", fill: ACCENT, fillOpacity: 0.75, stroke: "var(--paper)" })],
  })];
  return fgvr.figure("Calibration",
    `Log-probabilities of the choices, normalised over them; on the dashed line a model is as often right as it is sure.${error === null || error === undefined ? "" : ` Calibration error: ${fgvr.percent(error)} %.`}`,
    draw, ["mean confidence in %", "answers", "right", "accuracy in %"],
    rows.map((row) => [row.sure.toFixed(1), fgvr.count(row.count), fgvr.count(row.right), row.percent.toFixed(1)]));
};

fgvr.matrixChart = (figures, column) => {
  const asked = new Map(figures.classes.map(([place, count]) => [place, count]));
  const cells = figures.matrix.map(([truth, given, count]) => ({ truth, given, count, share: count / asked.get(truth) }));
  const order = [...asked.keys()].sort((one, other) => column.groups[one].localeCompare(column.groups[other]) || one - other);
  const off = cells.filter((cell) => cell.truth !== cell.given).sort((one, other) => other.count - one.count);
  const draw = (total) => {
    const left = Math.min(150, total * 0.3);
    const lean = left * 0.5;
    const size = Math.max(5, Math.min(24, (total - left - lean) / order.length));
    const label = (place) => { const name = fgvr.visible(column.shown[place]); const most = Math.floor(left / 6.4); return name.length > most ? `${name.slice(0, most - 1)}…` : name; };
    return [fgvr.plot(Math.min(total, left + lean + size * order.length), {
      marginLeft: left, marginTop: left * 0.95, marginBottom: 6, marginRight: lean, height: left * 0.95 + 6 + size * order.length, padding: 0.06,
      style: { ...fgvr.type, fontSize: `${Math.max(6, Math.min(12, size + 1))}px` },
      x: { domain: order, axis: "top", label: null, tickRotate: -60, tickSize: 0, tickFormat: label },
      y: { domain: order, label: null, tickSize: 0, tickFormat: label },
      marks: [
        Plot.cell(cells, { x: "given", y: "truth", fill: (cell) => (cell.truth === cell.given ? "var(--right)" : "var(--wrong)"), fillOpacity: (cell) => 0.12 + 0.88 * Math.sqrt(cell.share), rx: 2,
          title: (cell) => `${cell.count} of ${asked.get(cell.truth)} ${fgvr.visible(column.shown[cell.truth])}\nwere called ${fgvr.visible(column.shown[cell.given])}`, tip: { fill: "var(--paper)" } }),
      ],
    })];
  };
  return fgvr.figure("Truth (rows) and answer (columns)", "Siblings stand together; the darker, the more often. Green is right.", draw,
    ["truth", "answer", "times", "of"],
    off.slice(0, 200).map((cell) => [column.shown[cell.truth], fgvr.name(column.shown[cell.given]), fgvr.count(cell.count), fgvr.count(asked.get(cell.truth))]));
};
