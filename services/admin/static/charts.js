// The two charts of a workload's page, from the JSON of the API. Times are UTC throughout.
(function () {
  "use strict";
  const root = document.getElementById("charts");
  if (!root) return;
  const [api, cluster] = root.dataset.api.split("?"); // of several clusters the address names one
  const stepS = Number(root.dataset.step);
  const REFRESH_MS = 15000;
  const CHART = { demand: null, replicas: null };
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  let shown = null;

  const seconds = (iso) => Date.parse(iso) / 1000;
  const stamp = (s) => new Date(s * 1000).toISOString();
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const note = (text) => { document.getElementById("chart-note").textContent = text; };

  const three = (v) => Math.abs(v) >= 999.5 ? v.toFixed(0) : v.toPrecision(3);
  function quantity(v) {
    if (v === null || v === undefined) return "–";
    const a = Math.abs(v);
    if (a >= 999.5e6) return three(v / 1e9) + " G";
    if (a >= 999.5e3) return three(v / 1e6) + " M";
    if (a >= 1e4) return three(v / 1e3) + " k";
    return a >= 100 ? v.toFixed(0) : String(Number(v.toPrecision(3)));
  }
  function clock(s) {
    const d = new Date(s * 1000);
    return d.getUTCDate() + " " + MONTHS[d.getUTCMonth()] + " " + d.toISOString().slice(11, 16) + " UTC";
  }
  const share = (q) => Number((100 * q).toPrecision(3)) + "";

  async function get(path) {
    const answer = await fetch(api + path + (cluster ? (path.includes("?") ? "&" : "?") + cluster : ""), { headers: { Accept: "application/json" } });
    if (answer.status === 401) location.href = "/login?next=" + encodeURIComponent(location.pathname + location.search);
    if (!answer.ok) throw new Error((await answer.json()).detail || answer.statusText);
    return answer.json();
  }

  async function load() {
    const hours = Number(root.querySelector("input[name=hours]:checked").value);
    const ahead = Number(document.getElementById("ahead").value);
    const fan = await get("/forecasts?n_context=1");
    const origin = seconds(fan.origin_at);
    const from = stamp(origin - hours * 3600);
    const end = stamp(origin + (fan.step_at.length + 1) * stepS);
    const bands = pairs(fan.quantile_levels);
    const median = fan.quantile_levels.findIndex((q) => Math.abs(q - 0.5) < 1e-4);
    const rows = bands.flatMap((band) => [band.high, band.low]).concat(median < 0 ? [] : [median]);
    const wanted = rows.map((q) => "&level=" + fan.quantile_levels[q]).join("");
    const [past, allocation] = await Promise.all([
      get(`/forecasts/ahead?n_ahead=${Math.min(ahead, fan.step_at.length)}&from_at=${from}&to_at=${fan.origin_at}${wanted}`),
      get(`/allocation?from_at=${from}&to_at=${end}`),
    ]);
    const asked = origin - hours * 3600;
    return { fan, past, allocation, origin, from: Math.max(asked, firstAt(past, allocation, asked)), bands, median, rows };
  }

  // Start of what is known: the axis is no longer than that.
  function firstAt(past, allocation, asked) {
    const measured = past.step_at.filter((_, i) => past.demand[i] !== null);
    const found = [measured[0], allocation.step_at[0], allocation.observed_at[0]].filter(Boolean).map(seconds);
    return found.length ? Math.min(...found) : asked;
  }

  // Two symmetric bands out of whatever levels the forecast has.
  function pairs(levels) {
    const found = [];
    levels.forEach((q, i) => {
      const j = levels.findIndex((p) => Math.abs(p - (1 - q)) < 1e-4);
      if (q < 0.5 && j > i) found.push({ low: i, high: j, q });
    });
    found.sort((a, b) => a.q - b.q);
    if (!found.length) return [];
    const outer = found.find((p) => p.q >= 0.045) || found[0];
    const inner = found.filter((p) => p.q > outer.q + 0.05).pop();
    return inner ? [outer, inner] : [outer];
  }

  function demandData(d) {
    const times = d.past.step_at.map(seconds).concat(d.fan.step_at.map(seconds));
    const nPast = d.past.step_at.length;
    const row = (q) => d.past.quantiles[d.rows.indexOf(q)].concat(d.fan.quantiles[q]);
    const blank = d.fan.step_at.map(() => null);
    const ready = readyAt(d.allocation, times.slice(0, nPast)).map((n) => n === null ? null : n * d.fan.capacity_per_replica);
    const columns = [times, d.past.demand.concat(blank), d.median < 0 ? times.map(() => null) : row(d.median), ready.concat(blank)];
    d.bands.forEach((band) => columns.push(row(band.high), row(band.low)));
    return { columns, bands: d.bands };
  }

  // Ready replicas in force during each step: the newest snapshot before the step's end.
  function readyAt(allocation, times) {
    const at = allocation.observed_at.map(seconds);
    let k = -1;
    return times.map((t) => {
      while (k + 1 < at.length && at[k + 1] <= t + stepS) k += 1;
      return k < 0 ? null : allocation.ready[k];
    });
  }

  function axes(format) {
    const ink = color("--ink-soft"), grid = color("--grid");
    const font = "12px " + getComputedStyle(document.body).fontFamily;
    const common = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 5 } };
    return [
      { ...common, values: [
        [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
        [3600, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
        [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
      ] },
      { ...common, size: 62, values: (u, ticks) => ticks.map(format) },
    ];
  }

  function options(box, height, series, bands, extra) {
    return {
      width: box.clientWidth, height, series, bands,
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
      legend: { show: false },
      cursor: { sync: { key: "workload" }, points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { time: true, range: () => [shown.from, shown.origin + (shown.fan.step_at.length + 1) * stepS] },
        y: { range: (u, low, high) => [0, Math.max(1e-9, (high || 1) * 1.08)] } },
      padding: [10, 26, 0, 0],
      ...extra,
    };
  }

  function originLine(u) {
    const x = Math.round(u.valToPos(shown.origin + stepS, "x", true));
    const { top, height, left, width } = u.bbox;
    if (x < left || x > left + width) return;
    const c = u.ctx, dpr = devicePixelRatio || 1;
    c.save();
    c.strokeStyle = color("--ink-soft");
    c.lineWidth = dpr;
    c.setLineDash([4 * dpr, 4 * dpr]);
    c.beginPath(); c.moveTo(x, top); c.lineTo(x, top + height); c.stroke();
    c.fillStyle = color("--ink-soft");
    c.font = 11 * dpr + "px " + getComputedStyle(document.body).fontFamily;
    c.textAlign = "right";
    c.fillText("known until here ", x - 4 * dpr, top + 11 * dpr);
    c.restore();
  }

  function violationTicks(u) {
    const { step_at: at, violation_ratio: ratio } = shown.allocation;
    const { top, height, left, width } = u.bbox;
    const c = u.ctx, dpr = devicePixelRatio || 1;
    c.save();
    c.fillStyle = color("--bad");
    at.forEach((iso, i) => {
      if (!ratio[i]) return;
      const a = u.valToPos(seconds(iso), "x", true), b = u.valToPos(seconds(iso) + stepS, "x", true);
      if (b < left || a > left + width) return;
      c.fillRect(a, top + height - 9 * dpr, Math.max(2 * dpr, b - a), 9 * dpr);
    });
    c.restore();
  }

  function drawDemand(data) {
    const box = document.getElementById("chart-demand");
    const line = color("--forecast");
    const series = [{},
      { label: "Demand", stroke: color("--ink"), width: 1.8, points: { show: false }, spanGaps: false },
      { label: "Median", stroke: line, width: 1.6, dash: [6, 4], points: { show: false } },
      { label: "Capacity", stroke: color("--ready"), width: 1.4, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }];
    const bands = [];
    data.bands.forEach((band, i) => {
      const at = series.length;
      series.push({ stroke: "transparent", width: 0, points: { show: false } }, { stroke: "transparent", width: 0, points: { show: false } });
      bands.push({ series: [at, at + 1], fill: color(i === 0 ? "--band-outer" : "--band-inner") });
    });
    const names = ["outer", "inner"];
    names.forEach((name, i) => {
      const label = document.getElementById(name + "-label"), band = data.bands[i];
      label.parentElement.hidden = !band;
      if (band) label.textContent = `${share(1 - 2 * band.q)} % of outcomes expected here`;
    });
    CHART.demand = new uPlot(options(box, 300, series, bands, {
      axes: axes(quantity), hooks: { draw: [originLine], setCursor: [(u) => readDemand(u, data)] },
    }), data.columns, box);
  }

  function readDemand(u, data) {
    const out = document.getElementById("readout-demand"), i = u.cursor.idx;
    if (i === null || i === undefined) { out.textContent = "\u00a0"; return; }
    const at = (k) => quantity(u.data[k][i]);
    const parts = [clock(u.data[0][i]), "demand " + at(1), "median " + at(2)];
    data.bands.forEach((band, k) => parts.push(`p${share(band.q)}–p${share(1 - band.q)} ${at(5 + 2 * k)} to ${at(4 + 2 * k)}`));
    parts.push("capacity " + at(3));
    out.textContent = parts.join("  ·  ") + "  " + shown.fan.unit;
  }

  function replicaData(d) {
    const a = d.allocation;
    const decided = a.origin_at.map((iso) => seconds(iso) + stepS);
    const columns = uPlot.join([
      [a.step_at.map(seconds), a.needed],
      [decided, a.desired],
      [a.observed_at.map(seconds), a.ready],
    ]);
    return columns[0].length ? columns : [[d.from], [null], [null], [null]];
  }

  function drawReplicas(columns) {
    const box = document.getElementById("chart-replicas");
    const stepped = uPlot.paths.stepped({ align: 1 });
    const base = { paths: stepped, points: { show: false }, spanGaps: true };
    const series = [{},
      { ...base, label: "Needed", stroke: color("--needed-line"), width: 1, fill: color("--needed") },
      { ...base, label: "Decided", stroke: color("--desired"), width: 2, dash: [6, 3] },
      { ...base, label: "Ready", stroke: color("--ready"), width: 2 }];
    CHART.replicas = new uPlot(options(box, 210, series, [], {
      axes: axes((v) => Number.isInteger(v) ? String(v) : ""),
      hooks: { draw: [originLine, violationTicks], setCursor: [readReplicas] },
    }), columns, box);
  }

  function readReplicas(u) {
    const out = document.getElementById("readout-replicas"), i = u.cursor.idx;
    if (i === null || i === undefined) { out.textContent = "\u00a0"; return; }
    const at = (k) => {
      for (let j = i; j >= 0; j -= 1) if (u.data[k][j] !== null && u.data[k][j] !== undefined) return u.data[k][j];
      return "–";
    };
    out.textContent = `${clock(u.data[0][i])}  ·  needed ${at(1)}  ·  decided ${at(2)}  ·  ready ${at(3)}`;
  }

  function draw() {
    if (!shown) return;
    Object.values(CHART).forEach((chart) => chart && chart.destroy());
    drawDemand(demandData(shown));
    drawReplicas(replicaData(shown));
    root.dataset.drawn = "true";
  }

  let turn = 0;
  async function refresh() {
    const mine = ++turn;
    try {
      const data = await load();
      if (mine !== turn) return;
      shown = data;
      draw();
      note(shown.fan.rung === "model" ? "" : `The newest forecast comes from the rung “${shown.fan.rung}”${shown.fan.reason ? ": " + shown.fan.reason : ""}.`);
    } catch (error) {
      if (mine === turn) note(String(error.message || error));
    }
  }

  root.querySelectorAll("input[name=hours]").forEach((input) => input.addEventListener("change", refresh));
  document.getElementById("ahead").addEventListener("change", refresh);
  document.addEventListener("harmony:theme", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(() => {
    Object.entries(CHART).forEach(([name, chart]) => {
      if (chart) chart.setSize({ width: document.getElementById("chart-" + name).clientWidth, height: chart.height });
    });
  }).observe(root);
  setInterval(() => { if (!document.hidden && !root.matches(":hover")) refresh(); }, REFRESH_MS);
  refresh();
})();
