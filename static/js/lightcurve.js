// The light curve with zoom: uPlot draws axes and zooms, the marks are ours. Without script the server's drawing stays.
import { $, $$ } from "./frame.js";

const box = $("#zoomable"), drawn = $("#drawn"), { uPlot } = window;
const data = JSON.parse($("#light-curve")?.textContent ?? "null");
const BANDS = "ugrizy", ratio = devicePixelRatio || 1;
const address = new URL(location);
let isFlux = address.searchParams.get("y") === "flux";
const off = new Set((address.searchParams.get("off") ?? "").split(",").filter(Boolean));
let plot = null, places = [];

// what a custom property is in the theme of now
const probe = document.body.appendChild(document.createElement("i"));
probe.hidden = true;
const colour = name => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
const letter = band => (BANDS.includes(band[0].toLowerCase()) ? band[0].toLowerCase() : "");

const isOn = row => !off.has(row[1]) && (isFlux || row[2] !== null);
// what was measured by force has a flux, however small, and below 5σ no magnitude but a limit
const shown = () => ({ points: data.points.filter(p => isOn(p) && !(p[8] && off.has("forced"))), limits: off.has("limits") ? [] : data.limits.filter(l => isOn(l) && !(isFlux && l[5])) });
const value = p => (isFlux ? p[4] : p[2]), error = p => (isFlux ? p[5] : p[3] ?? 0), depth = l => (isFlux ? l[3] : l[2]);

// the marks of the bands, around 0 0 in a box of 12, as in partials/symbols.html
const SHAPES = Object.fromEntries([..."ugrizy", ""].map(b => [b, symbol(b)]));
function symbol(band) {
  const path = new Path2D(), of = document.getElementById(`b-${band}`)?.querySelector("path, circle");
  if (of?.tagName === "path") path.addPath(new Path2D(of.getAttribute("d"))); else path.arc(0, 0, 4.4, 0, 7);
  return path;
}

function paint(u) {
  const { ctx, bbox } = u, { points, limits } = shown(), surface = colour("surface"), ink = colour("ink");
  places = [];
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const at = (x, y) => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
  for (const l of limits) {
    const [x, y] = at(l[0], depth(l));
    ctx.save();
    ctx.translate(x, y); ctx.scale(ratio, ratio);
    ctx.globalAlpha = .62; ctx.strokeStyle = colour(letter(l[1]) || "ink-2"); ctx.lineWidth = 1.3;
    ctx.stroke(new Path2D("M-4 0h8M0 0v8M-2.5 5.2 0 8.4l2.5-3.2"));
    ctx.restore();
    places.push([x / ratio, y / ratio, l[4], `${l[1]} > ${l[2].toFixed(2)} mag, MJD ${l[0].toFixed(4)}`]);
  }
  for (const p of points) {
    const [x, y] = at(p[0], value(p)), [, low] = at(p[0], value(p) - error(p)), [, high] = at(p[0], value(p) + error(p));
    const isChosen = p[7] === data.chosen;
    ctx.strokeStyle = ctx.fillStyle = colour(letter(p[1]) || "ink-2");
    ctx.lineWidth = 1.1 * ratio; ctx.globalAlpha = .75;
    ctx.beginPath(); ctx.moveTo(x, low); ctx.lineTo(x, high); ctx.stroke();
    ctx.globalAlpha = 1;
    if (isChosen) {
      ctx.save(); ctx.strokeStyle = colour("ink-3"); ctx.lineWidth = ratio; ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath(); ctx.moveTo(x, y); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke(); ctx.restore();
    }
    ctx.save();
    ctx.translate(x, y);
    const scale = (isChosen ? 13 : p[8] ? 6 : 9) / 12 * ratio;
    ctx.scale(scale, scale);
    if (p[6]) ctx.fillStyle = surface;
    if (isChosen) ctx.strokeStyle = ink;
    ctx.lineWidth = isChosen ? 2.4 : 1.4;
    ctx.fill(SHAPES[letter(p[1])]); ctx.stroke(SHAPES[letter(p[1])]);
    ctx.restore();
    const words = p[2] === null ? "" : `${p[2].toFixed(2)} ± ${(p[3] ?? 0).toFixed(2)} mag, `;
    places.push([x / ratio, y / ratio, p[7], `${p[8] ? "forced, " : ""}${p[1]} ${words}${p[4].toFixed(2)} ± ${p[5].toFixed(2)} μJy, MJD ${p[0].toFixed(4)}`]);
  }
  ctx.restore();
}

function range(values, least) {
  const low = Math.min(...values), high = Math.max(...values), room = Math.max((high - low) * .06, least);
  return [low - room, high + room];
}

function ends(u, from, to) {
  const { points, limits } = shown(), inside = r => r[0] >= from && r[0] <= to;
  const all = [...points.filter(inside).flatMap(p => [value(p) - error(p), value(p) + error(p)]), ...limits.filter(inside).map(depth)];
  if (!all.length) return isFlux ? [0, 1] : [18, 22];
  return range(all, .1);
}

function decimals(values) {
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : 1;
  let n = 0;
  while (n < 6 && Math.abs(step * 10 ** n - Math.round(step * 10 ** n)) > 1e-6) n += 1;
  return values.map(v => v.toFixed(n).replace("-", "−"));
}

function times() {
  const { points, limits } = shown(), all = [...points, ...limits].map(r => r[0]);
  return all.length ? range(all, .02) : [0, 1];
}

function keep(from, to) {
  const full = times(), isWhole = Math.abs(from - full[0]) + Math.abs(to - full[1]) < 1e-6;
  for (const [name, v] of [["from", isWhole ? "" : from.toFixed(4)], ["to", isWhole ? "" : to.toFixed(4)], ["y", isFlux ? "flux" : ""], ["off", [...off].join(",")]])
    if (v) address.searchParams.set(name, v); else address.searchParams.delete(name);
  history.replaceState(null, "", address);
}

function make() {
  plot?.destroy();
  const x = [...new Set([...data.points, ...data.limits].map(r => r[0]))].sort((a, b) => a - b);
  const line = { stroke: colour("ink-2"), font: "11px " + getComputedStyle(document.body).fontFamily, labelFont: "11px " + getComputedStyle(document.body).fontFamily };
  const grid = { stroke: colour("line"), width: 1 };
  const asked = ["from", "to"].map(n => parseFloat(address.searchParams.get(n)));
  const first = asked.every(Number.isFinite) && asked[0] < asked[1] ? asked : times();
  plot = new uPlot({
    width: box.clientWidth - 16, height: Math.max(260, Math.min(400, innerHeight * .45)),
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: true, y: false, uni: 20 }, y: false },
    scales: {
      x: { time: false, auto: false, min: first[0], max: first[1] },
      y: { dir: isFlux ? 1 : -1, range: u => ends(u, u.scales.x.min ?? first[0], u.scales.x.max ?? first[1]) },
    },
    axes: [
      { ...line, grid: { show: false }, ticks: { stroke: colour("edge"), width: 1, size: 4 }, border: { show: true, stroke: colour("edge"), width: 1 }, label: "MJD (UTC, middle of the exposure)", labelSize: 22, size: 34, values: (u, v) => decimals(v) },
      { ...line, grid, ticks: { show: false }, values: (u, v) => decimals(v), label: isFlux ? "flux of the difference (μJy)" : "AB magnitude", labelSize: 20, size: 48 },
    ],
    series: [{}, { show: true, paths: () => null, points: { show: false } }],
    hooks: {
      draw: [paint],
      setScale: [(u, key) => { if (key === "x" && plot) keep(u.scales.x.min, u.scales.x.max); }],
    },
  }, [x, x.map(() => 0)], box);
  // The scale of y follows what is in view, not the series, which only carries the times.
  plot.over.addEventListener("dblclick", () => { const [a, b] = times(); setTimeout(() => plot.setScale("x", { min: a, max: b })); });
  plot.over.addEventListener("mousemove", e => { const near = nearest(e); plot.over.style.cursor = near ? "pointer" : "crosshair"; plot.over.title = near ? near[3] : ""; });
  let down = 0;
  plot.over.addEventListener("mousedown", e => { down = e.clientX; });
  plot.over.addEventListener("click", e => {
    const near = Math.abs(e.clientX - down) < 4 && nearest(e);
    if (!near || !near[2]) return;
    if (near[2].startsWith("/")) { location = near[2]; return; }
    const to = new URL(address);
    to.searchParams.set("point", near[2]);
    to.hash = "chosen";
    location = to;
  });
}

function nearest(e) {
  const x = e.offsetX + plot.bbox.left / ratio, y = e.offsetY + plot.bbox.top / ratio;
  let best = null, least = 10;
  for (const place of places) {
    const away = Math.hypot(place[0] - x, place[1] - y);
    if (away < least) { best = place; least = away; }
  }
  return best;
}

if (box && data && uPlot) {
  box.hidden = false;
  if (drawn) drawn.hidden = true;
  $("#zoom-help").hidden = false;
  make();
  $$("[data-y]").forEach(a => a.addEventListener("click", e => {
    e.preventDefault();
    isFlux = a.dataset.y === "flux";
    $$("[data-y]").forEach(b => (b === a ? b.setAttribute("aria-current", "true") : b.removeAttribute("aria-current")));
    const { min, max } = plot.scales.x;
    keep(min, max); make();
  }));
  $$("[data-switch]").forEach(a => a.addEventListener("click", e => {
    e.preventDefault();
    const word = a.dataset.switch;
    if (off.delete(word)) a.setAttribute("aria-current", "true"); else { off.add(word); a.removeAttribute("aria-current"); }
    const { min, max } = plot.scales.x;
    keep(min, max); make();
  }));
  addEventListener("resize", () => plot.setSize({ width: box.clientWidth - 16, height: plot.height }));
  new MutationObserver(make).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", make);
}

// forced photometry that waits: look again until it is done, then show the page as it is now
if ($("#forced[data-pending]")) setInterval(async () => {
  if (document.hidden) return;
  const answer = await fetch(location).catch(() => null);
  if (answer?.ok && !answer.redirected && !(await answer.text()).includes(" data-pending>")) location.reload();
}, 5000);
