"use strict";
// A click on a column's head sorts its table by the values behind the cells; a second click turns the order round.
for (const button of document.querySelectorAll("thead .head")) {
  button.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    button.click();
  });
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const table = head.closest("table");
    const place = [...head.parentNode.children].indexOf(head);
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const numeric = !head.classList.contains("text");
    const value = (row) => row.children[place].dataset.value ?? row.children[place].textContent;
    const isEmpty = (row) => numeric && value(row) === "";
    const order = (a, b) => (numeric ? value(a) - value(b) : value(a).localeCompare(value(b)));
    const body = table.tBodies[0];
    // Empty cells come last in either order.
    const rows = [...body.rows].sort((a, b) => isEmpty(a) - isEmpty(b) || (descending ? -1 : 1) * order(a, b));
    body.append(...rows);
  });
}
// Paper cannot be clicked: what is folded is printed open.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
});
