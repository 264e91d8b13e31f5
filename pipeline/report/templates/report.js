"use strict";
// Sorting: a click on a heading orders the rows; a second click turns the order round.
for (const heading of document.querySelectorAll("#sites th")) {
  heading.addEventListener("click", () => {
    const up = heading.getAttribute("aria-sort") !== "ascending";
    const column = heading.cellIndex;
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const order = heading.dataset.kind === "number"
      ? (a, b) => Number(value(a)) - Number(value(b))
      : (a, b) => value(a).localeCompare(value(b), "en", { numeric: true });
    const body = document.querySelector("#sites tbody");
    const rows = [...body.rows].sort((a, b) => (up ? order(a, b) : order(b, a)));
    for (const other of document.querySelectorAll("#sites th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows);
  });
}

// Hovering: the dot nearest to the pointer, in the panel below it, says its date and value. The dots' own path is read
// back, so the page carries no number twice.
for (const chart of document.querySelectorAll("svg.chart")) {
  const { first, last, left, right } = chart.dataset;
  const panels = [...chart.querySelectorAll("path.dots")].map((path) => ({
    path,
    dots: [...path.getAttribute("d").matchAll(/M([\d.-]+),([\d.-]+)h0/g)].map((m) => [Number(m[1]), Number(m[2])]),
  }));
  const marker = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  marker.setAttribute("class", "marker");
  marker.setAttribute("r", "4.5");
  const words = chart.parentElement.querySelector(".hover");
  const clear = () => { marker.remove(); words.textContent = ""; };
  chart.addEventListener("pointerleave", clear);
  chart.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    const panel = panels.find(({ path }) => at.y >= Number(path.dataset.top) && at.y <= Number(path.dataset.bottom));
    if (!panel) return clear();
    const [x, y] = panel.dots.reduce((best, dot) => (Math.abs(dot[0] - at.x) < Math.abs(best[0] - at.x) ? dot : best));
    const day = Number(first) + ((x - left) / (right - left)) * (last - first);
    const { low, high, top, bottom } = panel.path.dataset;
    const value = Number(high) - ((y - top) / (bottom - top)) * (high - low);
    marker.setAttribute("cx", x);
    marker.setAttribute("cy", y);
    chart.append(marker);
    words.textContent = `${new Date(Math.round(day) * 864e5).toISOString().slice(0, 10)}: ${value.toFixed(3)}`;
  });
}
