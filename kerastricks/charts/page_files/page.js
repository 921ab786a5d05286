"use strict";
const name = (target) => {
  const found = target.closest && target.closest(".t");
  return found ? [...found.classList].find((part) => /^t\d+$/.test(part)) : null;
};
let kept = null;
const light = (trial) => {
  document.querySelectorAll(".hot").forEach((one) => one.classList.remove("hot"));
  document.body.classList.toggle("on", trial !== null);
  if (trial) document.querySelectorAll("." + trial).forEach((one) => one.classList.add("hot"));
};
document.addEventListener("pointerover", (event) => light(name(event.target) || kept));
document.addEventListener("click", (event) => {
  if (event.target.closest("thead th")) return;
  const trial = name(event.target);
  kept = trial === kept ? null : trial;
  light(kept);
});
document.querySelectorAll("table.sortable").forEach((table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head, column));
  });
  const sort = (head, column) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.v;
    const order = (one, two) => {
      const [a, b] = [value(one), value(two)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const both = a - b;
      return (Number.isNaN(both) ? a.localeCompare(b) : both) * (down ? -1 : 1);
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(order));
  };
});
