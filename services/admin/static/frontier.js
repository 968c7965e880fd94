// Risk against cost: each policy's settings that no other setting of it beats in both.
(function () {
  "use strict";
  const root = document.getElementById("frontier");
  if (!root) return;
  const box = document.getElementById("chart-frontier");
  const readout = document.getElementById("readout-frontier");
  const MAX_RATE = 0.15, HEIGHT = 340, N_COLOURS = 9;
  const DASHES = [[], [8, 4], [3, 3], [10, 4, 2, 4]];
  const promised = Number(root.dataset.promised) || null;
  let curves = null, chart = null;

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const percent = (v) => Number((100 * v).toPrecision(3)) + " %";
  const usd = (v) => "$" + (v >= 100 ? Math.round(v).toLocaleString("en") : v > 0 && v < 0.1 ? Number(v.toPrecision(2)) : v.toFixed(2));

  // The lower left edge, by rate.
  function front(points) {
    let least = Infinity;
    return points
      .filter((p) => p.violation_rate !== null && p.cost_usd !== null && p.violation_rate <= MAX_RATE)
      .sort((a, b) => a.violation_rate - b.violation_rate || a.cost_usd - b.cost_usd)
      .filter((p) => { const kept = p.cost_usd < least; if (kept) least = p.cost_usd; return kept; });
  }

  function promiseLine(u) {
    if (promised === null) return;
    const x = Math.round(u.valToPos(promised, "x", true));
    const { top, height } = u.bbox, dpr = devicePixelRatio || 1, c = u.ctx;
    c.save();
    c.strokeStyle = c.fillStyle = color("--ink-soft");
    c.lineWidth = dpr;
    c.setLineDash([4 * dpr, 4 * dpr]);
    c.beginPath(); c.moveTo(x, top); c.lineTo(x, top + height); c.stroke();
    c.font = 11 * dpr + "px " + getComputedStyle(document.body).fontFamily;
    c.textAlign = "left";
    c.fillText(" recommended", x + 3 * dpr, top + 11 * dpr);
    c.restore();
  }

  function read(u) {
    const i = u.cursor.idx;
    if (i === null || i === undefined) { readout.textContent = "\u00a0"; return; }
    const parts = [];
    curves.forEach((curve, k) => {
      const cost = u.data[k + 1][i];
      if (cost !== null && cost !== undefined) parts.push(curve.name + " " + usd(cost));
    });
    readout.textContent = percent(u.data[0][i]) + " of time out of SLA  ·  " + parts.join("  ·  ");
  }

  function draw() {
    if (!curves) return;
    if (chart) chart.destroy();
    const tables = curves.map((c) => [c.points.map((p) => p.violation_rate), c.points.map((p) => p.cost_usd)]);
    const widest = Math.max(0, ...curves.flatMap((c) => c.points.map((p) => p.violation_rate)));
    const right = Math.min(1, Math.max(0.005, widest * 1.05));
    const data = tables.length ? uPlot.join(tables) : [[0], [null]];
    const series = [{}].concat(curves.map((c) => ({
      label: c.name, stroke: color("--c" + (c.place % N_COLOURS)), width: c.isOwn ? 2.5 : 1.5, dash: DASHES[c.place % DASHES.length],
      spanGaps: true, points: { show: true, size: c.isOwn ? 6 : 4 },
    })));
    const ink = color("--ink-soft"), grid = color("--grid");
    const font = "12px " + getComputedStyle(document.body).fontFamily;
    const axis = { stroke: ink, font, labelFont: font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 5 } };
    chart = new uPlot({
      width: box.clientWidth, height: HEIGHT, series,
      legend: { show: false },
      scales: { x: { time: false, range: [0, right] } },
      axes: [
        { ...axis, label: "Time out of SLA", values: (u, ticks) => ticks.map(percent) },
        { ...axis, label: "Cost of the replay", size: 78, values: (u, ticks) => ticks.map(usd) },
      ],
      hooks: { draw: [promiseLine], setCursor: [read] },
      padding: [10, 18, 0, 0],
    }, data, box);
    root.dataset.widest = String(right);
    root.dataset.drawn = "true";
  }

  async function load() {
    try {
      const answer = await fetch(root.dataset.api, { headers: { Accept: "application/json" } });
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.detail || answer.statusText);
      const names = [...root.querySelectorAll(".legend li")].map((item) => item.textContent);
      curves = body.curves
        .map((c, place) => ({ name: names[place], place, isOwn: c.policy === "harmony", points: front(c.points) }))
        .filter((c) => c.points.length);
      root.dataset.thick = curves.filter((c) => c.isOwn).map((c) => c.name).join();
      draw();
    } catch (error) {
      document.getElementById("frontier-note").textContent = String(error.message || error);
    }
  }

  document.addEventListener("harmony:theme", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(() => { if (chart) chart.setSize({ width: box.clientWidth, height: HEIGHT }); }).observe(root);
  load();
})();
