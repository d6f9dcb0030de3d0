// Draws a page's figures when they come into sight, and keeps those of very many bars quick.
//
// Where a figure has more than MOST bars, those narrower than some pixels at the present zoom are
// drawn together as blocks, each in the colour of the kind that takes most of its time; its hover
// text says what is in it. Nothing is left out, and the note under the figure counts. The pixels are
// NARROW, or as many as keep the blocks of all rows below BLOCKS.
"use strict";
(() => {
  const MOST = 1500, NARROW = 3, BLOCKS = 2000, SHEET = 680, COLUMN = 270, PLAIN = "%{customdata[0]}<extra></extra>";
  const config = { responsive: true, displaylogo: false, doubleClick: "reset" };
  const figures = new Map();

  // The visible cycles; panels share one time axis.
  const rangeOf = (div) => div._fullLayout.xaxis.range;

  // All bars of a figure by row: [trace, place in it, start, end], by start.
  function rowsOf(data) {
    const rows = new Map();
    data.forEach((trace, t) => trace.y.forEach((y, i) => {
      const key = `${trace.yaxis || "y"} ${y}`;
      if (!rows.has(key)) rows.set(key, []);
      rows.get(key).push([t, i, trace.base[i], trace.base[i] + trace.x[i]]);
    }));
    for (const row of rows.values()) row.sort((a, b) => a[2] - b[2]);
    return [...rows.values()];
  }

  // The bars to draw at the present zoom, and how many of the visible ones stand apart.
  function thinned(state, [low, high], width) {
    const { data, layer } = state;
    const drawn = data.map(() => ({ y: [], base: [], x: [], customdata: [], hovertemplate: [], text: [], opacity: [] }));
    const pixels = Math.max(NARROW, Math.ceil((state.rows.length * width) / BLOCKS));
    const narrow = state.many ? (pixels * (high - low)) / Math.max(200, width) : 0;
    const counts = { apart: 0, blocks: 0, inside: 0, pixels };
    const opacity = (t, i) => {
      const own = data[t].marker.opacity;
      return layer && data[t].customdata[i][1] !== layer ? 0.12 : Array.isArray(own) ? own[i] : (own ?? 1);
    };
    const put = (t, y, base, x, about, hover, text, alpha) => {
      const into = drawn[t];
      into.y.push(y); into.base.push(base); into.x.push(x); into.customdata.push(about);
      into.hovertemplate.push(hover); into.text.push(text); into.opacity.push(alpha);
    };
    const alone = ([t, i]) => {
      const trace = data[t];
      put(t, trace.y[i], trace.base[i], trace.x[i], trace.customdata[i], trace.hovertemplate, trace.text ? trace.text[i] : "", opacity(t, i));
    };
    const flush = (block) => {
      if (!block.length) return;
      if (block.length === 1) { alone(block[0]); counts.apart++; return; }
      const cycles = new Map(), tally = new Map();
      let end = 0, alpha = 0, busy = 0;
      for (const [t, i, a, b] of block) {
        cycles.set(t, (cycles.get(t) || 0) + b - a);
        tally.set(t, (tally.get(t) || 0) + 1);
        end = Math.max(end, b); busy += b - a; alpha = Math.max(alpha, opacity(t, i));
      }
      const [first, place, start] = block[0];
      const top = [...cycles].reduce((x, y) => (y[1] > x[1] ? y : x))[0];
      const kinds = [...tally].map(([t, n]) => `${data[t].name}: ${n.toLocaleString("en")}`).join("<br>");
      const share = Math.round((100 * busy) / Math.max(1, end - start));
      const text = `<b>${block.length.toLocaleString("en")} short tasks</b><br>${kinds}<br>on ${data[first].y[place]}, cycles ${start.toLocaleString("en")} to ${end.toLocaleString("en")}, ${share} % busy<br>zoom in to see them apart`;
      put(top, data[first].y[place], start, end - start, [text], PLAIN, "", alpha);
      counts.blocks++; counts.inside += block.length;
    };
    for (const row of state.rows) {
      let block = [];
      for (const bar of row) {
        if ((state.many && (bar[3] < low || bar[2] > high)) || data[bar[0]].visible === "legendonly") continue;
        if (bar[3] - bar[2] >= narrow) { flush(block); block = []; alone(bar); counts.apart++; continue; }
        if (block.length && bar[3] - block[0][2] > narrow) { flush(block); block = []; }
        block.push(bar);
      }
      flush(block);
    }
    const traces = data.map((trace, t) => {
      const { opacity: alphas, text, ...columns } = drawn[t];
      return { ...trace, ...columns, ...(trace.text ? { text } : {}), marker: { ...trace.marker, opacity: alphas } };
    });
    return { traces, counts };
  }

  function noted({ apart, blocks, inside, pixels }) {
    const some = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
    return blocks ? `At this zoom ${some(apart, "task")} drawn one by one; ${some(inside, "task")} shorter than ${pixels} pixels drawn as ${some(blocks, "block")}: zoom in to see them apart.` : "";
  }

  function redraw(name) {
    const state = figures.get(name), div = document.getElementById(name);
    const { traces, counts } = thinned(state, rangeOf(div), div.clientWidth);
    document.getElementById(`${name}-note`).textContent = noted(counts);
    return Plotly.react(div, traces, div.layout, config);
  }

  // Moves the visible range: by `shift` of its width, which becomes `scale` times as wide; no scale: all of it.
  function move(name, shift, scale) {
    const state = figures.get(name), div = document.getElementById(name);
    const [low, high] = rangeOf(div), wide = (high - low) * (scale || 1), middle = (low + high) / 2 + shift * (high - low);
    Plotly.relayout(div, { "xaxis.range": scale ? [middle - wide / 2, middle + wide / 2] : [...state.whole] });
  }

  function draw(div) {
    const { data, layout } = JSON.parse(document.getElementById(`${div.id}-data`).textContent);
    const lefts = new Set();
    for (const key of Object.keys(layout)) {
      if (!/^[xy]axis/.test(key)) continue;
      layout[key].automargin ??= true;
      if (key[0] === "x") lefts.add(layout[key].domain?.[0] ?? 0);
    }
    // Panels side by side, and figures that ask for it, keep a readable width; where the page has less, a finger moves them instead of zooming in.
    const narrowest = lefts.size > 1 ? COLUMN * lefts.size : (layout.meta?.narrowest ?? 0);
    div.style.minWidth = `${narrowest}px`;
    if (innerWidth < narrowest) layout.dragmode = false;
    if (innerWidth < 640 && layout.legend?.orientation !== "h" && data.length > 1) layout.legend = { ...layout.legend, orientation: "h", y: -0.25 };
    const bars = data.length > 0 && data.every((trace) => trace.type === "bar" && trace.orientation === "h" && Array.isArray(trace.base) && trace.customdata);
    if (!bars) return Plotly.newPlot(div, data, layout, config);
    const rows = rowsOf(data), many = rows.reduce((sum, row) => sum + row.length, 0) > MOST;
    const state = { data, rows, many, layer: "", whole: [...layout.xaxis.range] };
    figures.set(div.id, state);
    const { traces, counts } = thinned(state, state.whole, div.clientWidth);
    document.getElementById(`${div.id}-note`).textContent = noted(counts);
    return Plotly.newPlot(div, traces, layout, { ...config, modeBarButtonsToRemove: ["autoScale2d", "select2d", "lasso2d"] }).then(() => {
      if (many) div.on("plotly_relayout", (change) => Object.keys(change).some((key) => key.includes("axis")) && redraw(div.id));
      div.on("plotly_legendclick", (event) => {
        const kind = data[event.curveNumber].legendgroup, visible = data[event.curveNumber].visible === "legendonly" ? true : "legendonly";
        for (const trace of data) if (trace.legendgroup === kind) trace.visible = visible;
        redraw(div.id);
        return false;
      });
      div.on("plotly_legenddoubleclick", () => false);
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
    }, { rootMargin: "300px" });
    const plots = [...document.querySelectorAll(".plot")];
    plots.forEach((div) => seen.observe(div));
    // Paper shows all figures of the chosen views, as wide as a sheet.
    addEventListener("beforeprint", () => plots.forEach((div) => {
      if (div.closest("[hidden]")) return;
      seen.unobserve(div);
      if (!div.data) draw(div);
      Plotly.relayout(div, { width: SHEET });
    }));
    addEventListener("afterprint", () => plots.forEach((div) => div.data && Plotly.relayout(div, { width: null, autosize: true })));
    document.addEventListener("click", ({ target }) => {
      const tab = target.closest("[role=tab]"), tool = target.closest("[data-move]");
      if (tab) select(tab);
      if (tool) move(tool.parentElement.dataset.plot, Number(tool.dataset.move), Number(tool.dataset.scale));
    });
    document.addEventListener("change", ({ target }) => {
      if (!target.matches("[data-highlight]")) return;
      const name = target.parentElement.dataset.plot;
      figures.get(name).layer = target.value;
      redraw(name);
    });
    document.addEventListener("keydown", (event) => {
      const tab = event.target.closest("[role=tab]");
      if (!tab) return;
      const tabs = [...tab.parentElement.children], place = tabs.indexOf(tab);
      const next = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: -1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      select(tabs.at(next % tabs.length));
    });
  });

  function select(tab) {
    for (const other of tab.parentElement.children) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", chosen);
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
    tab.focus();
  }
})();
