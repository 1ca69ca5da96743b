/* The board is in the page already; here it learns to sort, block by block. */
fgvr.sortable = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  const sorted = heads.filter((head) => head.querySelector("button"));
  const sort = (head) => {
    const place = heads.indexOf(head);
    const text = head.querySelector("button").dataset.kind === "text";
    const before = head.getAttribute("aria-sort");
    const rising = before === "none" ? text || head.textContent.trim() === "rank" : before === "descending";
    const value = (row) => (text ? row.cells[place].querySelector("bdi").textContent : row.cells[place].dataset.value);
    const order = (one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return (rising ? 1 : -1) * (text ? a.localeCompare(b) : a - b);
    };
    sorted.forEach((each) => each.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    for (const block of table.tBodies) block.append(...[...block.rows].slice(1).sort(order));
    fgvr.say(`sorted by ${head.querySelector("button").textContent.trim()}, ${rising ? "lowest" : "highest"} first`);
  };
  sorted.forEach((head) => head.querySelector("button").addEventListener("click", () => sort(head)));
};
