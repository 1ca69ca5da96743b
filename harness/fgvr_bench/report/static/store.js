/* Data come in pieces, each loaded once when it is first asked for: files beside the page, or blocks inside it. */
fgvr.MOST_PIECES = 400;

fgvr.load = (name) => {
  if (!fgvr.pieces.has(name)) {
    if (fgvr.pieces.size >= fgvr.MOST_PIECES) fgvr.pieces.delete(fgvr.pieces.keys().next().value);
    fgvr.pieces.set(name, fgvr.read(name));
  }
  return fgvr.pieces.get(name);
};

fgvr.read = (name) => {
  const inside = document.querySelector(`script[data-name="${CSS.escape(name)}"]`);
  if (inside) return Promise.resolve(JSON.parse(inside.textContent));
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `data/${name}.js`;
    script.onerror = () => {
      fgvr.pieces.delete(name);
      fgvr.waiting.delete(name);
      reject(new Error(`data/${name}.js is missing: copy the whole folder of the report`));
    };
    fgvr.waiting.set(name, (value) => { script.remove(); resolve(value); });
    document.head.append(script);
  });
};

/** What every data file calls. */
fgvr.take = (name, value) => {
  const waiting = fgvr.waiting.get(name);
  fgvr.waiting.delete(name);
  if (waiting) waiting(value);
};
window.fgvr = fgvr;

fgvr.column = (key) => fgvr.load(`columns/${key}/index`);
fgvr.verdicts = (run) => fgvr.load(`runs/${run}/verdicts`);
fgvr.figures = (run) => fgvr.load(`runs/${run}/figures`);

/** Where a picture is: a file beside the page, or a block of the page itself. */
fgvr.source = async (album, place) => {
  if (!album || place === null || place === undefined) return null;
  if (!fgvr.single) return `pictures/${album}/${Math.floor(place / 1000)}/${place}.webp`;
  return (await fgvr.load(`pictures/${album}/${Math.floor(place / 100)}`))[place];
};
fgvr.single = Boolean(document.querySelector('script[data-name="report"]'));

/** One question of a column, in words. */
fgvr.question = async (key, place) => {
  const column = await fgvr.column(key);
  const piece = await fgvr.load(`columns/${key}/${Math.floor(place / column.page)}`);
  const [id, order, label, choices, target, letters, subject, rank, picture] = piece[place % column.page];
  const places = choices === null ? null : choices;
  return {
    place, id, order, label, target, letters, subject, rank,
    picture: await fgvr.source(column.album, picture),
    count: places ? places.length : column.labels,
    choice: (index) => (places ? places[index] : index),
  };
};

/** What a run answered to one question. */
fgvr.answer = async (run, column, place) => {
  const [piece, verdicts] = await Promise.all([
    fgvr.load(`runs/${run}/${Math.floor(place / column.page)}`), fgvr.verdicts(run)]);
  const at = place % column.page;
  return {
    state: verdicts.states[place],
    rule: verdicts.names[verdicts.rules[place]],
    said: piece.said[at],
    error: piece.errors[at],
    given: piece.given[at],
    scores: piece.scores && piece.scores[at],
    kind: piece.kind,
  };
};
