"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const NS = "http://www.w3.org/2000/svg";
  const MEASURES = ["latency mean (ms)", "latency p50 (ms)", "latency p90 (ms)", "latency p99 (ms)", "throughput (sequences/s)"];
  const THROUGHPUT = 4;
  const table = byId("grid");
  const lines = [...table.tBodies[0].rows];
  const hasPlot = data.points.length > 0 && data.metrics.length > 0;
  const state = {
    metric: Math.max(0, data.metrics.indexOf(data.main)), point: data.middle, measure: 0, colour: 0, scale: "near", chosen: null,
  };
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const svg = (name, attributes = {}, ...children) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // ---- numbers, written as in the tables
  const milliseconds = (v) => (v < 10 ? v.toFixed(2) : v < 100 ? v.toFixed(1) : Math.round(v).toLocaleString("en"));
  const rate = (v) => (v < 10 ? v.toFixed(1) : Math.round(v).toLocaleString("en"));
  const shown = (measure, v) => (measure === THROUGHPUT ? rate(v) : milliseconds(v));
  const score = (v) => v.toFixed(4);

  // ---- what can be seen now
  const visibleRows = () => data.rows.filter((row, i) => !lines[i].hidden);
  const modelsShown = () => {
    const found = new Set(visibleRows().map((row) => row.model));
    return data.models.map((model, i) => ({ ...model, index: i })).filter((model) => found.has(model.index));
  };
  const dots = () => {
    const metric = data.metrics[state.metric];
    return modelsShown().flatMap((model) => {
      const times = model.times[state.point];
      const values = model.scores[metric];
      return times && values && values[0] !== null ? [{ model, x: times[state.measure], y: values[0], low: values[1], high: values[2] }] : [];
    });
  };
  const lessIsBetter = () => data.less.includes(data.metrics[state.metric]);

  /** The dots that no other beats in both, fastest first; equal ones are on it together. */
  const pareto = (all) => {
    const cost = (d) => (state.measure === THROUGHPUT ? -d.x : d.x);
    const worth = (d) => (lessIsBetter() ? -d.y : d.y);
    const sorted = [...all].sort((a, b) => cost(a) - cost(b) || worth(b) - worth(a));
    const front = [];
    for (const dot of sorted) {
      const last = front[front.length - 1];
      if (!last || worth(dot) > worth(last) || (worth(dot) === worth(last) && cost(dot) === cost(last))) front.push(dot);
    }
    return front;
  };

  const ticks = (low, high, wanted) => {
    const span = high - low || Math.abs(high) || 1;
    const rough = span / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n++) found.push(n * step);
    return { step, found };
  };
  const decimals = (step) => Math.max(0, Math.min(8, -Math.floor(Math.log10(step) + 1e-9)));

  const SHAPES = [
    (r) => svg("circle", { r }),
    (r) => svg("rect", { x: -r * 0.9, y: -r * 0.9, width: r * 1.8, height: r * 1.8 }),
    (r) => svg("path", { d: `M0 ${-r * 1.15}L${r * 1.1} ${r * 0.8}L${-r * 1.1} ${r * 0.8}Z` }),
    (r) => svg("path", { d: `M0 ${r * 1.15}L${r * 1.1} ${-r * 0.8}L${-r * 1.1} ${-r * 0.8}Z` }),
    (r) => svg("path", { d: `M${-r} ${-r * 0.35}H${-r * 0.35}V${-r}H${r * 0.35}V${-r * 0.35}H${r}V${r * 0.35}H${r * 0.35}V${r}H${-r * 0.35}V${r * 0.35}H${-r}Z` }),
    (r) => svg("path", { d: `M${-r} 0L${-r / 2} ${-r * 0.9}H${r / 2}L${r} 0L${r / 2} ${r * 0.9}H${-r / 2}Z` }),
  ];
  const diamond = (r) => svg("path", { d: `M0 ${-r * 1.3}L${r * 1.3} 0L0 ${r * 1.3}L${-r * 1.3} 0Z` });
  const kindOf = (model) => {
    if (model.baseline) return "b";
    const parameter = data.parameters[state.colour];
    if (!parameter) return 0;
    const row = data.rows.find((r) => r.model === model.index && !r.baseline);
    return Math.max(0, parameter.values.indexOf(row.cells[state.colour])) % SHAPES.length;
  };
  const mark = (kind, r) => {
    const made = kind === "b" ? diamond(r) : SHAPES[kind](r);
    made.setAttribute("class", "mark");
    return made;
  };

  // ---- the plot
  const isFar = (value) => {
    const base = data.models[data.original] || data.models[data.onnx];
    const of = base && base.scores[data.metrics[state.metric]];
    if (!of || of[0] === null) return false;
    return Math.abs(value - of[0]) > 0.1 * (Math.abs(of[0]) || 1);
  };

  const overlaps = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

  const draw = () => {
    const chart = byId("chart");
    const width = Math.max(280, chart.clientWidth);
    const height = Math.round(Math.min(460, Math.max(300, width * 0.5)));
    const room = { left: 62, right: 14, top: 12, bottom: 46 };
    const all = dots();
    byId("scale-label").hidden = !all.some((d) => isFar(d.y)) || all.every((d) => isFar(d.y));
    const near = state.scale === "near" && !byId("scale-label").hidden;
    const inside = near ? all.filter((d) => !isFar(d.y)) : all;
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Plot of " + data.metrics[state.metric] + " against " + MEASURES[state.measure] });
    if (!all.length) {
      root.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "tick" }, "Nothing to show: no visible configuration was measured here."));
      chart.replaceChildren(root);
      return;
    }
    const span = (values, share) => {
      const low = Math.min(...values), high = Math.max(...values);
      const pad = (high - low || Math.abs(high) || 1) * share;
      return [low - pad, high + pad];
    };
    const [x0, x1] = span(all.map((d) => d.x), 0.07);
    const [y0, y1] = span(inside.flatMap((d) => [d.low, d.high, d.y]), 0.07);
    const right = width - room.right, bottom = height - room.bottom;
    const px = (v) => room.left + ((v - x0) / (x1 - x0)) * (right - room.left);
    const py = (v) => bottom - ((v - y0) / (y1 - y0)) * (bottom - room.top);
    const clamp = (v) => Math.min(bottom, Math.max(room.top, py(v)));
    // What is outside the scale is drawn inside its edge, with an arrow.
    const levelOf = (d) => (near && isFar(d.y) ? Math.min(bottom - 18, Math.max(room.top + 18, py(d.y))) : clamp(d.y));

    const xs = ticks(x0, x1, width < 500 ? 4 : 8), ys = ticks(y0, y1, 6);
    for (const v of ys.found) {
      root.append(svg("line", { class: "axis", x1: room.left, x2: right, y1: py(v), y2: py(v) }));
      root.append(svg("text", { class: "tick", x: room.left - 8, y: py(v) + 4, "text-anchor": "end" }, v.toFixed(decimals(ys.step))));
    }
    for (const v of xs.found) {
      root.append(svg("line", { class: "axis", x1: px(v), x2: px(v), y1: room.top, y2: bottom }));
      root.append(svg("text", { class: "tick", x: px(v), y: bottom + 18, "text-anchor": "middle" }, v.toFixed(decimals(xs.step))));
    }
    const [batch, length] = data.points[state.point];
    const where = width < 500 ? "" : `, batch size ${batch}, ${length} tokens`;
    const better = state.measure === THROUGHPUT ? "more is better" : "less is better";
    root.append(svg("text", { class: "title", x: (room.left + right) / 2, y: height - 8, "text-anchor": "middle" }, `${MEASURES[state.measure]}${where} (${better})`));
    root.append(svg("text", { class: "title", x: 14, y: (room.top + bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(room.top + bottom) / 2})` }, data.metrics[state.metric] + (lessIsBetter() ? " (less is better)" : "")));

    const base = data.models[data.original];
    const level = base && base.scores[data.metrics[state.metric]];
    if (level && level[0] !== null && level[0] >= y0 && level[0] <= y1) {
      root.append(svg("line", { class: "base", x1: room.left, x2: right, y1: py(level[0]), y2: py(level[0]) }));
    }
    const front = pareto(all);
    const end = state.measure === THROUGHPUT ? room.left : right;
    let path = "";
    front.forEach((dot, i) => {
      const y = levelOf(dot);
      path += i ? `H${px(dot.x)}V${y}` : `M${px(dot.x)} ${y}`;
    });
    root.append(svg("path", { class: "front", d: `${path}H${end}` }));

    // Labels go where they meet neither another label nor a dot; where a whole one finds no such place, its number does.
    const taken = all.flatMap((d) => [
      { x: px(d.x) - 8, y: levelOf(d) - 8, w: 16, h: 16 },
      { x: px(d.x) - 4, y: clamp(d.high), w: 8, h: clamp(d.low) - clamp(d.high) },
    ]);
    const label = (d) => {
      const cut = d.model.name.length > 40 ? d.model.name.slice(0, 39) + "…" : d.model.name;
      const value = near && isFar(d.y) ? ` ${d.y.toFixed(3)}` : "";
      return placed(d, cut + value) || (d.model.baseline ? null : placed(d, d.model.name.split(" ")[0] + value));
    };
    const placed = (d, said) => {
      const w = said.length * 6.3 + 4, h = 15, x = px(d.x), y = levelOf(d);
      const places = [[12, -h / 2], [-w - 12, -h / 2], [-w / 2, -h - 12], [-w / 2, 12], [10, -h - 8], [-w - 10, -h - 8], [10, 8], [-w - 10, 8]];
      for (const [dx, dy] of places) {
        const box = { x: x + dx, y: y + dy, w, h };
        const fits = box.x >= room.left && box.x + w <= right && box.y >= room.top && box.y + h <= bottom;
        if (fits && !taken.some((other) => overlaps(box, other))) {
          taken.push(box);
          // Just as wide as it was thought to be, so that what is behind does not cross the words.
          const text = svg("text", { class: "name", x: box.x + w / 2, y: box.y + 11.5, "text-anchor": "middle" }, said);
          return svg("g", { "aria-hidden": "true" }, svg("rect", { class: "behind", x: box.x, y: box.y, width: w, height: h, rx: 2 }), text);
        }
      }
      return null;
    };
    const important = [...all].sort((a, b) => Number(b.model.baseline) - Number(a.model.baseline) || Number(front.includes(b)) - Number(front.includes(a)));
    const names = important.map(label).filter(Boolean);
    const drawn = [...all].sort((a, b) => a.x - b.x).map((d) => dotOf(d, px(d.x), levelOf(d), clamp(d.low), clamp(d.high), near && isFar(d.y)));
    root.append(...names, ...drawn);
    const away = near ? all.length - inside.length : 0;
    byId("away").textContent = away ? `${away} far from FP32 ${away > 1 ? "are" : "is"} drawn at the edge, outside the scale.` : "";
    const focused = chart.querySelector(".dot:focus");
    const again = focused && focused.dataset.model;
    chart.replaceChildren(root);
    if (again) root.querySelector(`[data-model="${again}"]`)?.focus();
    legend();
  };

  const dotOf = (d, x, y, low, high, away) => {
    const kind = kindOf(d.model);
    const said = [...d.model.names].join(", ");
    const made = svg("g", {
      class: `dot k${kind}`, transform: `translate(${x} ${y})`, tabindex: "0", role: "button", "data-model": d.model.index,
      "aria-pressed": String(state.chosen === d.model.index),
      "aria-label": `${said}: ${data.metrics[state.metric]} ${score(d.y)}, ${MEASURES[state.measure]} ${shown(state.measure, d.x)}`,
    });
    if (!away) made.append(svg("path", { class: "ci", d: `M0 ${low - y}V${high - y}M-4 ${low - y}H4M-4 ${high - y}H4` }));
    else made.append(svg("path", { class: "ci", d: d.y < (data.models[data.original] || data.models[data.onnx]).scores[data.metrics[state.metric]][0] ? "M-4 10L0 15L4 10" : "M-4 -10L0 -15L4 -10" }));
    made.append(mark(kind, 6), svg("circle", { class: "ring", r: 11 }));
    made.addEventListener("pointerenter", () => tip(d, x, y));
    made.addEventListener("pointerleave", () => { if (document.activeElement !== made) untip(); });
    made.addEventListener("focus", () => tip(d, x, y));
    made.addEventListener("blur", untip);
    made.addEventListener("click", () => choose(d.model.index));
    made.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(d.model.index); }
      if (event.key === "Escape") untip();
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) {
        event.preventDefault();
        const every = [...byId("chart").querySelectorAll(".dot")];
        every[(every.indexOf(made) + step + every.length) % every.length].focus();
      }
    });
    return made;
  };

  const tip = (d, x, y) => {
    const box = byId("tip");
    const times = d.model.times[state.point];
    const line = (name, value) => element("div", {}, element("span", {}, name), element("span", {}, value));
    const ratio = (i) => {
      const theirs = data.models[i]?.times[state.point];
      if (!theirs || i === d.model.index) return [];
      const noise = data.noise[state.point];
      const equal = noise !== null && Math.abs(times[0] / theirs[0] - 1) <= noise ? " ≈" : "";
      return [line(`against ${data.models[i].name}`, `${(theirs[0] / times[0]).toFixed(2)}×${equal}`)];
    };
    box.replaceChildren(
      ...d.model.names.map((name) => element("b", {}, name)),
      line(data.metrics[state.metric], `${score(d.y)} (${score(d.low)}–${score(d.high)})`),
      ...MEASURES.map((name, i) => line(name, shown(i, times[i]))),
      ...(data.original !== null ? ratio(data.original) : []), ...(data.onnx !== null ? ratio(data.onnx) : []),
    );
    box.hidden = false;
    const panel = byId("plot").getBoundingClientRect(), chart = byId("chart").getBoundingClientRect();
    const scale = chart.width / Math.max(280, byId("chart").clientWidth);
    const left = chart.left - panel.left + x * scale, top = chart.top - panel.top + y * scale;
    const flip = left + box.offsetWidth + 24 > panel.width;
    box.style.left = `${Math.max(8, flip ? left - box.offsetWidth - 16 : left + 16)}px`;
    box.style.top = `${Math.max(8, Math.min(top - box.offsetHeight / 2, panel.height - box.offsetHeight - 8))}px`;
    data.rows.forEach((row, i) => lines[i].classList.toggle("lit", row.model === d.model.index));
  };
  const untip = () => {
    byId("tip").hidden = true;
    light();
  };
  const light = () => data.rows.forEach((row, i) => lines[i].classList.toggle("lit", state.chosen !== null && row.model === state.chosen));

  const choose = (index) => {
    state.chosen = state.chosen === index ? null : index;
    for (const dot of byId("chart").querySelectorAll(".dot")) dot.setAttribute("aria-pressed", String(Number(dot.dataset.model) === state.chosen));
    light();
    const first = data.rows.findIndex((row, i) => row.model === state.chosen && !lines[i].hidden);
    if (state.chosen !== null && first >= 0) lines[first].scrollIntoView({ block: "nearest", behavior: still.matches ? "auto" : "smooth" });
  };

  const legend = () => {
    const entry = (kind, name) => element("span", {}, svg("svg", { viewBox: "-9 -9 18 18", "aria-hidden": "true" }, svg("g", { class: `dot k${kind}` }, mark(kind, 6))), name);
    const parameter = data.parameters[state.colour];
    const values = parameter ? parameter.values.map((value, i) => entry(i % SHAPES.length, value)) : [];
    byId("legend").replaceChildren(entry("b", "FP32 baseline"), ...values);
  };

  // ---- the table: times of the point that is chosen, sorting, filtering
  const updateTimes = () => {
    if (!data.points.length) return;
    const [batch, length] = data.points[state.point];
    for (const [name, value] of [["batch", batch], ["length", length]]) for (const at of table.querySelectorAll(`[data-${name}]`)) at.textContent = value;
    lines.forEach((line, i) => {
      const model = data.rows[i].model === null ? null : data.models[data.rows[i].model];
      const cells = model && model.cells[state.point];
      for (const cell of line.querySelectorAll("[data-t]")) {
        const [text, value] = cells ? cells[Number(cell.dataset.t)] : ["–", null];
        cell.textContent = text;
        if (value === null) delete cell.dataset.v;
        else cell.dataset.v = value;
      }
    });
    const sorted = table.tHead.querySelector("[aria-sort]");
    if (sorted) sort(sorted.cellIndex, sorted.getAttribute("aria-sort"));
  };

  const sort = (column, direction) => {
    const numeric = lines.some((line) => line.cells[column].dataset.v !== undefined);
    const key = (line) => {
      const cell = line.cells[column];
      if (!numeric) return cell.textContent.trim();
      return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
    };
    const sign = direction === "descending" ? -1 : 1;
    const order = lines.map((line, i) => [line, key(line), i]).sort(([, a, i], [, b, j]) => {
      if (a === null || b === null) return Number(a === null) - Number(b === null) || i - j; // what is missing is last
      return sign * (numeric ? a - b : a.localeCompare(b, "en", { numeric: true })) || i - j;
    });
    table.tBodies[0].append(...order.map(([line]) => line));
    for (const head of table.tHead.rows[0].cells) {
      if (head.cellIndex === column) head.setAttribute("aria-sort", direction);
      else head.removeAttribute("aria-sort");
    }
  };

  const filter = () => {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const off = [...byId("checks").querySelectorAll("input:not(:checked)")].map((box) => [Number(box.dataset.parameter), box.value]);
    lines.forEach((line, i) => {
      const row = data.rows[i];
      const text = line.textContent.toLowerCase();
      line.hidden = !row.baseline && (off.some(([at, value]) => row.cells[at] === value) || !words.every((word) => text.includes(word)));
    });
    const count = data.rows.filter((row, i) => !row.baseline && !lines[i].hidden).length;
    const whole = data.rows.filter((row) => !row.baseline).length;
    byId("shown").textContent = `${count} of ${whole} configurations`;
    byId("reset").hidden = count === whole;
    if (hasPlot) draw();
  };

  const options = (select, names, chosen, changed) => {
    select.replaceChildren(...names.map((name, i) => element("option", { value: i }, name)));
    select.value = String(chosen);
    select.addEventListener("change", () => { changed(Number(select.value)); untip(); draw(); });
  };

  const start = () => {
    for (const part of document.querySelectorAll(".needs-script")) part.hidden = part.id === "plot" && !hasPlot;
    [...table.tHead.rows[0].cells].forEach((head) => {
      const button = element("button", { type: "button" }, ...head.childNodes);
      button.addEventListener("click", () => sort(head.cellIndex, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending"));
      head.append(button);
    });
    data.parameters.forEach((parameter, at) => {
      const boxes = parameter.values.map((value) => element("label", {}, element("input", { type: "checkbox", value, checked: "", "data-parameter": at }), element("code", {}, value)));
      byId("checks").append(element("fieldset", {}, element("legend", {}, parameter.key), ...boxes));
    });
    byId("checks").addEventListener("change", filter);
    byId("search").addEventListener("input", filter);
    byId("reset").addEventListener("click", () => {
      byId("search").value = "";
      for (const box of byId("checks").querySelectorAll("input")) box.checked = true;
      filter();
      byId("search").focus();
    });
    if (hasPlot) {
      options(byId("metric"), data.metrics, state.metric, (v) => { state.metric = v; });
      options(byId("point"), data.points.map(([b, l]) => `${b} × ${l}`), state.point, (v) => { state.point = v; updateTimes(); });
      options(byId("measure"), MEASURES, state.measure, (v) => { state.measure = v; });
      options(byId("colour"), data.parameters.map((p) => p.key), state.colour, (v) => { state.colour = v; });
      byId("colour").parentElement.hidden = data.parameters.length < 2;
      byId("scale").addEventListener("change", () => { state.scale = byId("scale").value; untip(); draw(); });
      lines.forEach((line, i) => {
        const light = (on) => { for (const dot of byId("chart").querySelectorAll(".dot")) dot.classList.toggle("lit", on && Number(dot.dataset.model) === data.rows[i].model); };
        line.addEventListener("pointerenter", () => light(true));
        line.addEventListener("pointerleave", () => light(false));
      });
      let seen = byId("chart").clientWidth;
      new ResizeObserver(() => {
        const width = byId("chart").clientWidth;
        if (width !== seen) requestAnimationFrame(() => { seen = width; untip(); draw(); });
      }).observe(byId("chart"));
    }
    filter();
  };
  start();
})();
