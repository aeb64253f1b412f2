// Sorts and filters the table of blocks; the page is whole without it.
(function () {
  const table = document.getElementById("table");
  if (!table) return;
  const body = table.tBodies[0], rows = Array.from(body.rows), heads = Array.from(table.tHead.rows[0].cells);
  const order = { WRONG: 0, INCONCLUSIVE: 1, CORRECT: 2 };
  const value = (row, k) => {
    const cell = row.cells[k], text = cell.textContent.trim(), word = text.split(" ").pop();
    if (word in order) return order[word];
    const number = parseFloat(cell.dataset.v || text);
    return Number.isNaN(number) || k === 0 ? text : number;
  };
  heads.forEach((head, k) => {
    if (head.classList.contains("p")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      rows.sort((a, b) => {
        const x = value(a, k), y = value(b, k);
        if (typeof x === typeof y) return sign * (x < y ? -1 : x > y ? 1 : 0);
        return typeof x === "number" ? -1 : 1; // what is not known comes last
      });
      body.append(...rows);
    });
  });
  if (rows.length < 8) return;
  const label = document.createElement("label"), input = document.createElement("input");
  label.htmlFor = input.id = "filter";
  label.textContent = "Show blocks with ";
  input.type = "search";
  input.placeholder = "a name or a verdict";
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    rows.forEach((row) => (row.hidden = !row.textContent.toLowerCase().includes(wanted)));
  });
  table.parentElement.before(label, input);
})();
