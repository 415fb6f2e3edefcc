"use strict";
// Draws what a reader chooses from the table in the page: axes, series, filters. Nothing is fetched.
for (const section of document.querySelectorAll(".ask")) {
  const data = JSON.parse(section.querySelector(".asked").textContent);
  const columns = new Map(data.columns.map((column) => [column.name, column]));
  const form = section.querySelector(".choices");
  const chart = section.querySelector(".chart");
  const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7f7f7f", "#8f8400"];
  const dashes = ["", "6 3", "2 2", "8 3 2 3"];
  const titled = (column) => column.label + (column.unit ? ` (${column.unit})` : "");
  const shown = (value) => (typeof value === "number" ? Number(value.toPrecision(4)).toLocaleString("en") : value);
  const make = (name, attributes = {}, ...inner) => {
    const element = document.createElement(name);
    Object.assign(element, attributes);
    element.append(...inner);
    return element;
  };
  const drawn = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const choice = (name, label, options, chosen) => {
    const select = make("select", { name }, ...options.map(([value, text]) => make("option", { value, textContent: text })));
    select.value = chosen;
    form.append(make("label", {}, label, select));
    return select;
  };
  const of = (list) => list.map((column) => [column.name, titled(column)]);
  const numbers = data.columns.filter((column) => !column.text);
  const keyed = data.keys.map((name) => columns.get(name));
  const x = choice("x", "across", of(data.columns), data.x);
  const y = choice("y", "up", of(numbers), data.y);
  const by = choice("by", "series", [["", "none"], ...of(keyed)], data.by);
  const scales = [["auto", "auto"], ["linear", "linear"], ["log", "logarithmic"]];
  const scaleX = choice("scale-x", "scale across", scales, "auto");
  const scaleY = choice("scale-y", "scale up", scales, "auto");
  // What is neither axis nor series is held at its middle value, as in the printed figures, until a reader lets it go.
  const filters = keyed.map((column) => {
    const options = column.order.map((value, place) => [String(place), String(shown(value))]);
    const middle = data.joined && !column.text ? String((column.order.length - 1) >> 1) : "";
    return { column, select: choice(`filter-${column.name}`, titled(column), [["", "all"], ...options], middle) };
  });

  // As in the printed figures an axis that spans more than so much is logarithmic.
  const axisOf = (column, values, scale, low, high, span) => {
    if (column.text) {
      const words = column.order ?? [...new Set(column.values)];
      return { at: (v) => low + ((words.indexOf(v) + 0.5) / words.length) * (high - low), ticks: words.map((w) => [w, w]) };
    }
    let [least, most] = [Math.min(...values), Math.max(...values)];
    if (scale === "log" ? least > 0 : scale === "auto" && least > 0 && most / least > span) {
      if (least === most) [least, most] = [least / 2, most * 2];
      const [first, last] = [Math.log10(least), Math.log10(most)];
      const steps = last - first > 4 ? [1] : last - first > 1.5 ? [1, 3] : [1, 2, 5];
      const ticks = [];
      for (let decade = Math.floor(first); decade <= last; decade += 1)
        for (const step of steps) ticks.push(step * 10 ** decade);
      const seen = ticks.filter((tick) => tick >= least * 0.999 && tick <= most * 1.001);
      return { at: (v) => low + ((Math.log10(v) - first) / (last - first)) * (high - low), ticks: seen.map((t) => [t, shown(t)]) };
    }
    if (least > 0 && least < 0.7 * most) least = 0;
    if (least === most) [least, most] = [least - 0.5, most + 0.5];
    const raw = (most - least) / 5;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const ticks = [];
    for (let place = Math.ceil(least / step - 1e-9); place * step <= most + step * 1e-9; place += 1) ticks.push(place * step);
    return { at: (v) => low + ((v - least) / (most - least)) * (high - low), ticks: ticks.map((t) => [t, shown(t)]) };
  };

  const draw = () => {
    const [across, up, series] = [columns.get(x.value), columns.get(y.value), columns.get(by.value)];
    const used = new Set([x.value, by.value]);
    for (const { column, select } of filters) select.closest("label").hidden = used.has(column.name);
    const open = filters.filter(({ column }) => !used.has(column.name));
    const rows = up.values
      .map((_, row) => row)
      .filter((row) => open.every(({ column, select }) => select.value === "" || column.values[row] === column.order[select.value]))
      .filter((row) => across.values[row] !== null && up.values[row] !== null);
    const width = Math.max(300, Math.min(840, chart.clientWidth - 18));
    const words = across.text ? across.order ?? [...new Set(across.values)] : [];
    // Words that would run into each other stand aslant.
    const longest = Math.max(0, ...words.map((word) => word.length));
    const isAslant = words.length * (longest + 1) * 7.5 > width - 100;
    const [left, right, top, bottom] = [84, 14, 12, isAslant ? 60 + Math.min(110, 4.5 * longest) : 52];
    const height = Math.round(Math.min(420, 0.3 * width + 190)) + bottom;
    const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}` });
    const half = (row) => up.halves?.[row] ?? 0;
    chart.replaceChildren(picture);
    section.querySelector(".legend").replaceChildren();
    if (!rows.length) {
      picture.append(drawn("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "no row has both numbers"));
      return;
    }
    const heights = rows.flatMap((row) => [up.values[row], ...(half(row) ? [up.values[row] + half(row)] : [])]);
    const alongX = scaleX.value === "auto" && !data.joined ? "linear" : scaleX.value;
    const horizontal = axisOf(across, rows.map((row) => across.values[row]), alongX, left + 12, width - right - 12, 31.6);
    const vertical = axisOf(up, heights, scaleY.value, height - bottom, top + 6, 10);
    for (const [value, text] of horizontal.ticks) {
      const place = horizontal.at(value);
      picture.append(drawn("line", { class: "grid", x1: place, x2: place, y1: top, y2: height - bottom }));
      const level = height - bottom + 18;
      const turn = { x: place, y: level, transform: `rotate(-35 ${place} ${level})`, "text-anchor": "end" };
      picture.append(drawn("text", isAslant ? turn : { x: place, y: level, "text-anchor": "middle" }, text));
    }
    for (const [value, text] of vertical.ticks) {
      const place = vertical.at(value);
      picture.append(drawn("line", { class: "grid", x1: left, x2: width - right, y1: place, y2: place }));
      picture.append(drawn("text", { x: left - 8, y: place + 4, "text-anchor": "end" }, text));
    }
    picture.append(drawn("text", { x: (left + width - right) / 2, y: height - 10, "text-anchor": "middle" }, titled(across)));
    const turned = { transform: `translate(16 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" };
    picture.append(drawn("text", turned, titled(up)));
    const names = series ? series.order.filter((name) => rows.some((row) => series.values[row] === name)) : [""];
    names.forEach((name, place) => {
      const [colour, dash] = [colours[place % colours.length], dashes[Math.floor(place / colours.length) % dashes.length]];
      const own = series ? rows.filter((row) => series.values[row] === name) : rows;
      // Rows that differ in what is let go make lines of their own.
      const lines = new Map();
      for (const row of own) {
        const key = open.map(({ column }) => column.values[row]).join("|");
        lines.set(key, [...(lines.get(key) ?? []), row]);
      }
      for (const line of lines.values()) {
        line.sort((a, b) => horizontal.at(across.values[a]) - horizontal.at(across.values[b]));
        const points = line.map((row) => [horizontal.at(across.values[row]), vertical.at(up.values[row]), row]);
        if (data.joined && !across.text && points.length > 1) {
          const way = { points: points.map(([px, py]) => `${px},${py}`).join(" "), stroke: colour, "stroke-dasharray": dash };
          picture.append(drawn("polyline", way));
        }
        for (const [px, py, row] of points) {
          const [middle, extent] = [up.values[row], half(row)];
          if (extent) {
            const [above, below] = [vertical.at(middle + extent), vertical.at(middle - extent)];
            const floor = height - bottom;
            picture.append(drawn("line", { class: "bar", x1: px, x2: px, y1: above, y2: Number.isFinite(below) ? Math.min(below, floor) : floor, stroke: colour }));
          }
          const mark = drawn("circle", { cx: px, cy: py, r: 4, fill: colour });
          const what = [name === "" ? "" : String(shown(name)), `${across.label} ${shown(across.values[row])}`];
          what.push(`${up.label} ${shown(middle)}${extent ? ` ± ${shown(extent)}` : ""}`);
          mark.append(drawn("title", {}, what.filter(Boolean).join(", ")));
          picture.append(mark);
        }
      }
      if (series) {
        const sample = make("span", { className: "sample" });
        sample.style.borderTop = `3px ${dash ? "dashed" : "solid"} ${colour}`;
        section.querySelector(".legend").append(make("li", {}, sample, String(shown(name))));
      }
    });
    const quoted = (text) => (/^[\w.,:=+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
    const held = open.filter(({ select }) => select.value !== "");
    const parts = ["specran plot .", "--x", quoted(x.value), "--y", quoted(y.value), ...(series ? ["--by", quoted(by.value)] : [])];
    for (const { column, select } of held) parts.push("--where", quoted(`${column.name}=${column.order[select.value]}`));
    if (data.joined) section.querySelector(".command").replaceChildren("In this folder: ", make("code", { textContent: parts.join(" ") }));
  };
  form.addEventListener("change", draw);
  addEventListener("resize", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  section.hidden = false;
  draw();
}
