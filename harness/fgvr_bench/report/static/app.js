/* What is shown follows from the address alone; keys and buttons only change the address. */
fgvr.turn = 0;

fgvr.show = async () => {
  const turn = ++fgvr.turn;
  const state = fgvr.state();
  const view = ["run", "questions"].includes(state.view) ? state.view : "board";
  const section = document.getElementById(`view-${view}`);
  const moved = fgvr.shownView !== `${view} ${state.run || ""}`;
  if (view !== "questions" && document.getElementById("question").open) document.getElementById("question").close();
  const reveal = () => {
    for (const each of document.querySelectorAll("main > section")) each.hidden = each !== section;
    for (const link of document.querySelectorAll("nav [data-view]")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  };
  reveal();
  section.setAttribute("aria-busy", "true");
  try {
    let title = "";
    if (view === "run") title = await fgvr.runView(section, state);
    if (view === "questions") title = await fgvr.questionsView(section, state);
    if (turn !== fgvr.turn) { fgvr.show(); return; }
    document.title = title ? `${fgvr.visible(title)} · fgvr-bench` : fgvr.title;
    if (moved && fgvr.shownView !== undefined) { window.scrollTo(0, 0); if (!document.getElementById("question").open) section.querySelector("h1")?.focus({ preventScroll: true }); }
    fgvr.shownView = `${view} ${state.run || ""}`;
  } catch (error) {
    section.replaceChildren(fgvr.el("h1", {}, "This cannot be shown"), fgvr.el("p.notice", { role: "alert" }, error.message), fgvr.el("p", {}, fgvr.el("a", { href: "#" }, "Back to the board")));
  } finally {
    section.removeAttribute("aria-busy");
    document.body.dataset.ready = location.hash || "#";
  }
};

fgvr.keys = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const dialog = document.getElementById("question");
  const by = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[event.key];
  if (dialog.open) {
    const link = by && dialog.querySelector(`[data-step="${by}"]`);
    if (link) { event.preventDefault(); location.replace(link.href); }
    return;
  }
  if (document.getElementById("keys").open) return;
  const here = fgvr.state().view === "questions" && fgvr.browsing;
  if (by && here) {
    const cards = [...document.querySelectorAll("#view-questions .question")];
    const next = cards.indexOf(document.activeElement) + by;
    event.preventDefault();
    if (next >= 0 && next < cards.length) cards[next].focus();
    else document.querySelector(`.pager a[rel="${by > 0 ? "next" : "prev"}"]`)?.click();
  } else if (event.key === "f" && here) { event.preventDefault(); document.querySelector("#view-questions select")?.focus(); }
  else if (event.key === "b") location.hash = "";
  else if (event.key === "q") location.hash = fgvr.link({ view: "questions", run: fgvr.state().run });
  else if (event.key === "?") document.getElementById("keys").showModal();
};

fgvr.theme = () => {
  const select = document.getElementById("theme");
  const keep = (value) => { try { localStorage.setItem("fgvr-theme", value); } catch { /* a browser that keeps nothing */ } };
  const set = (value) => { if (value) document.documentElement.dataset.theme = value; else delete document.documentElement.dataset.theme; };
  try { select.value = localStorage.getItem("fgvr-theme") || ""; } catch { select.value = ""; }
  set(select.value);
  select.addEventListener("change", () => { set(select.value); keep(select.value); });
};

fgvr.start = () => {
  fgvr.title = document.title;
  fgvr.theme();
  document.querySelectorAll("table.board").forEach(fgvr.sortable);
  window.addEventListener("hashchange", fgvr.show);
  document.addEventListener("keydown", fgvr.keys);
  document.getElementById("keys-button").addEventListener("click", () => document.getElementById("keys").showModal());
  const dialog = document.getElementById("question");
  dialog.addEventListener("close", () => {
    const state = fgvr.state();
    if (state.question === undefined) return;
    history.replaceState(null, "", fgvr.link({ ...state, question: "" }));
    document.querySelector(`#view-questions [data-place="${CSS.escape(state.question)}"]`)?.focus();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  let wait;
  window.addEventListener("resize", () => {
    clearTimeout(wait);
    wait = setTimeout(() => document.querySelector("main > section:not([hidden])")?.redraw?.(), 150);
  });
  fgvr.show();
};
fgvr.start();
