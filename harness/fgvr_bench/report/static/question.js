/* One question, whole: picture, options, answers, the rule that decided, and what every other model made of it. */
fgvr.RULES = {
  letter: "nothing but a letter", "letter-and-label": "a letter with its label", label: "nothing but a label",
  "label-part": "words that only one option has", declared: "said to be the answer", stated: "stated of the picture",
  mentioned: "the only choice mentioned", "answer-tag": "what stands in the answer tag", boxed: "what stands in the box",
  scores: "the highest score", empty: "there is nothing", unread: "no letter and no label", several: "more than one choice is meant",
  conflict: "two choices are meant", mismatch: "a letter with another's label", "not-offered": "a letter that is no option",
  "other-name": "a name that is no option", "ruled-out": "every choice named is ruled out", "only-compared": "choices are only compared",
  retracted: "taken back", refused: "declined", "not-stated": "named, but not as the answer", "unfinished-thinking": "the thought did not end",
  "too-long": "too long to read", "too-many-mentions": "too many mentions", tie: "two scores are highest", nan: "a score is no number",
  "score-count": "not one score a choice", failed: "the model or the image failed",
};

fgvr.openQuestion = async (state, column, places) => {
  const dialog = document.getElementById("question");
  if (state.question === undefined || state.question === "") {
    if (dialog.open) dialog.close();
    return;
  }
  const place = Number(state.question);
  const [question, mine, theirs] = await Promise.all([
    fgvr.question(state.column, place), fgvr.answer(state.run, column, place),
    state.against ? fgvr.answer(state.against, column, place) : null]);
  if (fgvr.state().question !== state.question) return; // closed, or gone on, while its data came
  const at = places.indexOf(place);
  const label = (key) => column.runs.find((run) => run.key === key).label;
  const step = (by, words) => {
    const next = at < 0 ? undefined : places[at + by];
    return next === undefined ? fgvr.el("span.off", {}, words) : fgvr.el("a", { href: fgvr.link({ ...state, view: "questions", question: next }), "data-step": String(by) }, words);
  };
  const truth = column.shown[question.label];
  const others = fgvr.el("div.others", {});
  fgvr.fill(dialog,
    fgvr.el("div.bar", {}, step(-1, "← previous"), fgvr.el("span", {}, at < 0 ? "outside the filters" : `${fgvr.count(at + 1)} of ${fgvr.count(places.length)}`), step(1, "next →"),
      fgvr.el("button.close", { type: "button", onclick: () => dialog.close(), "aria-label": "Close" }, "×")),
    fgvr.el("div.spread", {},
      fgvr.el("div.look", {}, fgvr.picture(question.picture, truth, true),         fgvr.el("p.hint", {}, fgvr.name(question.id), question.rank === null ? "" : ` · the truth is number ${question.rank} by similarity`, question.order ? ` · order ${question.order}` : "")),
      fgvr.el("div.read", {},
        fgvr.el("h2", { id: "question-title", tabindex: "-1" }, fgvr.name(truth)),
        column.groups[question.label] && fgvr.el("p.hint", {}, fgvr.name(column.groups[question.label])),
        question.subject !== null && fgvr.el("p", {}, "Asked whether it is ", fgvr.el("b", {}, fgvr.name(column.shown[question.subject])), "."),
        fgvr.options(question, column, mine, theirs, state, label),
        fgvr.spoken(mine, label(state.run)), theirs && fgvr.spoken(theirs, label(state.against)), others)),
  );
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("h2").focus();
  await fgvr.everybody(others, state, column, place);
};

/** The options in shown order; of long lists those that somebody chose or that scored high. */
fgvr.options = (question, column, mine, theirs, state, label) => {
  const scores = new Map(mine.scores || []);
  let places = [...Array(question.count).keys()];
  const kept = new Set([question.target, mine.given, theirs && theirs.given, ...scores.keys()].filter((place) => place !== null && place !== undefined));
  const cut = places.length > 12;
  if (cut) places = places.filter((place) => kept.has(place)).sort((one, other) => (scores.get(other) ?? -1e9) - (scores.get(one) ?? -1e9));
  const values = [...scores.values()];
  const most = Math.max(...values);
  const chance = mine.kind === "logprob" ? (score) => Math.exp(score - most) / values.reduce((sum, each) => sum + Math.exp(each - most), 0)
    : (score) => (values.length > 1 && most > Math.min(...values) ? 0.04 + 0.96 * ((score - Math.min(...values)) / (most - Math.min(...values))) : 1);
  const item = (place) => {
    const marks = [
      place === question.target && fgvr.el("span.tag.is-truth", {}, "truth"),
      place === mine.given && fgvr.el("span.tag", {}, theirs ? fgvr.name(label(state.run)) : "answer"),
      theirs && place === theirs.given && fgvr.el("span.tag", {}, fgvr.name(label(state.against)))];
    const score = scores.get(place);
    const classes = [place === question.target ? "truth" : "", place === mine.given && place !== question.target ? "mistake" : ""].filter(Boolean).map((each) => `.${each}`).join("");
    return fgvr.el(`li${classes}`, score === undefined ? {} : { "--width": String(Math.max(0, Math.min(1, chance(score)))) },
      question.letters && fgvr.el("span.letter", {}, question.letters[place]), fgvr.el("span.option", {}, fgvr.name(column.shown[question.choice(place)]), marks),
      score !== undefined && fgvr.el("span.score", {}, mine.kind === "logprob" && !cut ? `${fgvr.percent(chance(score))} %` : score.toFixed(3)));
  };
  return fgvr.el("div", {},
    fgvr.el("ol.options", { "aria-label": "Options" }, places.map(item)),
    cut && fgvr.el("p.hint", {}, `${places.length} of ${fgvr.count(question.count)} choices: the highest scores, the answer and the truth.`),
    mine.kind && fgvr.el("p.hint", {}, mine.kind === "logprob" ? "Bars: probability of each letter among the letters." : "Bars: similarity of picture and text, from the lowest to the highest shown."));
};

fgvr.spoken = (answer, label) =>
  fgvr.el("section.spoken", {},
    fgvr.el("h3", {}, fgvr.mark(answer.state), fgvr.name(label)),
    answer.error !== null && answer.error !== undefined && fgvr.el("p.error", {}, fgvr.name(answer.error)),
    answer.said !== null && fgvr.el("blockquote.anything", { dir: "auto" }, answer.said === "" ? fgvr.el("i", {}, "(an empty answer)") : answer.said),
    fgvr.el("p.rule", {}, "decided by ", fgvr.el("b", {}, fgvr.name(answer.rule)), Object.hasOwn(fgvr.RULES, answer.rule) ? `: ${fgvr.RULES[answer.rule]}` : ""));

/** Every run of the column on this question; a name shows that answer beside. */
fgvr.everybody = async (box, state, column, place) => {
  if (column.runs.length < 2) return;
  const verdicts = await Promise.all(column.runs.map((run) => fgvr.verdicts(run.key)));
  const right = verdicts.filter((each) => each.states[place] === "r").length;
  fgvr.fill(box, fgvr.el("h3", {}, `${right} of ${column.runs.length} runs are right`),
    fgvr.el("ul", {}, column.runs.map((run, number) => fgvr.el("li", {}, fgvr.mark(verdicts[number].states[place]),
      run.key === state.run ? fgvr.name(run.label)
        : fgvr.el("a", { href: fgvr.link({ ...state, view: "questions", against: run.key, question: place, show: "" }) }, fgvr.name(run.label))))));
};
