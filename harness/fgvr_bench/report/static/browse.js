/* The browser of questions: filters, a page of cards, keys. */
fgvr.CARDS = 48;

fgvr.SHOW = {
  "": ["all questions", () => true],
  wrong: ["wrong", (a) => a === "w"],
  unparsed: ["unparsed", (a) => a === "u"],
  failed: ["failed", (a) => a === "f"],
  right: ["right", (a) => a === "r"],
  "not-right": ["not right: wrong, unparsed or failed", (a) => a !== "r"],
  won: ["this right, the other not", (a, b) => a === "r" && b !== "r", true],
  lost: ["this not right, the other right", (a, b) => a !== "r" && b === "r", true],
  differ: ["only one of the two right", (a, b) => (a === "r") !== (b === "r"), true],
  neither: ["neither right", (a, b) => a !== "r" && b !== "r", true],
  nobody: ["no model right", (a, b, solved) => solved === 0],
};

/** The state with what it leaves out: first column, first run; what does not exist is dropped. */
fgvr.settled = async (state) => {
  const directory = await fgvr.load("report");
  const column = directory.columns.find((each) => each.key === state.column) || directory.columns.find((each) => each.runs.some((run) => run.key === state.run)) || directory.columns[0];
  const key = (name) => column.runs.some((run) => run.key === state[name]);
  const index = await fgvr.column(column.key);
  const settled = { ...state, column: column.key, run: key("run") ? state.run : column.runs[0].key, against: key("against") ? state.against : "" };
  if (!Object.hasOwn(fgvr.SHOW, state.show || "") || (fgvr.SHOW[state.show || ""][2] && !settled.against)) settled.show = "";
  const place = (text, count) => /^\d{1,9}$/.test(text || "") && Number(text) < count;
  if (!place(state.class, index.names.length)) settled.class = "";
  if (!place(state.question, index.classes.length)) settled.question = "";
  return [settled, index, directory];
};

/** Places of the questions that the filters leave, in the order asked for. */
fgvr.chosen = async (state, column) => {
  const mine = await fgvr.verdicts(state.run);
  const theirs = state.against ? await fgvr.verdicts(state.against) : null;
  const test = fgvr.SHOW[state.show || ""][1];
  const group = state.class === undefined || state.class === "" ? null : Number(state.class);
  const rule = state.rule ? mine.names.indexOf(state.rule) : null;
  const found = [];
  for (let place = 0; place < column.classes.length; place += 1) {
    if (group !== null && column.classes[place] !== group) continue;
    if (rule !== null && mine.rules[place] !== rule) continue;
    if (test(mine.states[place], theirs && theirs.states[place], column.solved[place])) found.push(place);
  }
  if (state.sort === "hard") found.sort((one, other) => column.solved[one] - column.solved[other] || one - other);
  return found;
};

fgvr.questionsView = async (section, asked) => {
  const [state, column, directory] = await fgvr.settled(asked);
  const places = await fgvr.chosen(state, column);
  const pages = Math.max(1, Math.ceil(places.length / fgvr.CARDS));
  const page = Math.min(pages - 1, Math.max(0, Number.parseInt(state.page || "0", 10) || 0));
  const shown = places.slice(page * fgvr.CARDS, (page + 1) * fgvr.CARDS);
  const verdicts = await fgvr.verdicts(state.run);
  const cards = await Promise.all(shown.map((place) => fgvr.card(place, state, column)));
  const focused = document.activeElement && section.contains(document.activeElement) ? document.activeElement.name : null;
  const to = (number) => fgvr.link({ ...state, view: "questions", page: number || "", question: "" });
  const link = (number, words, rel) => (number >= 0 && number < pages ? fgvr.el("a", { href: to(number), rel }, words) : fgvr.el("span.off", {}, words));
  fgvr.fill(section,
    fgvr.el("h1", { tabindex: "-1" }, "Questions", fgvr.el("span.on", {}, " of ", fgvr.name(column.dataset))),
    fgvr.filters(state, column, directory, verdicts),
    fgvr.el("p.found", { role: "status" },
      `${fgvr.plural(places.length, "question")} of ${fgvr.count(column.classes.length)}`,
      places.length ? `, ${fgvr.count(page * fgvr.CARDS + 1)} to ${fgvr.count(page * fgvr.CARDS + shown.length)} shown` : ""),
    shown.length ? fgvr.el("ul.gallery", {}, cards) : fgvr.el("p.nothing", {}, "No question is left by these filters. ", fgvr.el("a", { href: fgvr.link({ view: "questions", column: state.column, run: state.run }) }, "Show all")),
    pages > 1 && fgvr.el("nav.pager", { "aria-label": "Pages of questions" }, link(page - 1, "← previous", "prev"),
      fgvr.el("span", {}, `page ${fgvr.count(page + 1)} of ${fgvr.count(pages)}`), link(page + 1, "next →", "next")),
  );
  if (focused) section.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
  fgvr.browsing = { state, column, places, page, pages };
  await fgvr.openQuestion(state, column, places);
  return `Questions of ${column.dataset}`;
};

fgvr.select = (name, label, options, value, change) =>
  fgvr.el("label", {}, fgvr.el("span", {}, label),
    fgvr.el("select", { name, onchange: (event) => change(name, event.target.value) },
      options.map(([key, words]) => fgvr.el("option", { value: key, selected: String(key) === String(value ?? "") }, words))));

fgvr.filters = (state, column, directory, verdicts) => {
  const runs = directory.columns.find((each) => each.key === state.column).runs;
  const change = (name, value) => {
    const next = { ...state, view: "questions", [name]: value, page: "", question: "" };
    if (name === "column") Object.assign(next, { run: "", against: "", class: "", rule: "" });
    if (name === "run") next.rule = "";
    if (name === "against" && value && !state.show) next.show = "won";
    location.hash = fgvr.link(next);
  };
  const classes = [...new Set(column.classes)].sort((one, other) => column.shown[one].localeCompare(column.shown[other]));
  const named = directory.columns.map((each) => [each.key, each.name]);
  return fgvr.el("form.filters", { "aria-label": "Filters", onsubmit: (event) => event.preventDefault() },
    named.length > 1 && fgvr.select("column", "dataset", named, state.column, change),
    fgvr.select("run", "model", runs.map((run) => [run.key, run.label]), state.run, change),
    runs.length > 1 && fgvr.select("against", "beside", [["", "no other"], ...runs.filter((run) => run.key !== state.run).map((run) => [run.key, run.label])], state.against, change),
    fgvr.select("show", "show", Object.entries(fgvr.SHOW).filter(([, [, , pair]]) => !pair || state.against).map(([key, [words]]) => [key, words]), state.show, change),
    fgvr.select("class", "class", [["", "all classes"], ...classes.map((place) => [place, column.shown[place]])], state.class, change),
    fgvr.select("rule", "decided by", [["", "any rule"], ...verdicts.names.map((rule) => [rule, rule])], state.rule, change),
    fgvr.select("sort", "order", [["", "as asked"], ["hard", "fewest models right first"]], state.sort, change),
    fgvr.el("a.reset", { href: fgvr.link({ view: "questions", column: state.column, run: state.run }) }, "Clear"));
};

/** A question in the gallery: picture, truth, and what was answered. */
fgvr.card = async (place, state, column) => {
  const [question, mine, theirs] = await Promise.all([
    fgvr.question(state.column, place), fgvr.answer(state.run, column, place),
    state.against ? fgvr.answer(state.against, column, place) : null]);
  const truth = column.shown[question.label];
  const line = (answer, whose) => fgvr.el("span.said", {}, fgvr.mark(answer.state), whose, fgvr.verdictWords(answer, question, column));
  return fgvr.el("li", {},
    fgvr.el("a.question", { href: fgvr.link({ ...state, view: "questions", question: place }), "data-place": String(place) },
      column.album && fgvr.picture(question.picture, truth),
      fgvr.el("span.words", {}, fgvr.el("strong", {}, fgvr.name(truth)),
        question.subject !== null && question.subject !== question.label && fgvr.el("span.said", {}, "asked: ", fgvr.name(column.shown[question.subject])),
        line(mine, theirs ? "this: " : ""), theirs && line(theirs, "other: "))));
};

fgvr.verdictWords = (answer, question, column) => {
  if (answer.state === "f") return fgvr.el("span", {}, "failed");
  if (answer.given === null) return fgvr.el("span", {}, "no choice ", fgvr.el("small", {}, "(", fgvr.name(answer.rule), ")"));
  return fgvr.name(column.shown[question.choice(answer.given)]);
};
