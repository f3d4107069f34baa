// Image viewer: pan, zoom about the pointer, blink, mask bits, marks, position under the pointer.
import { $, $$, keys } from "./frame.js";

const pan = $(".pan"), box = pan.parentElement;
const W = +pan.dataset.width, H = +pan.dataset.height, scale = +pan.dataset.scale;
const grid = JSON.parse($("#sky-grid")?.textContent ?? "null");
let s = 1, x = 0, y = 0;

function put() {
  pan.style.transform = `translate(${x}px, ${y}px) scale(${s})`;
  pan.style.setProperty("--s", s);
  pan.classList.toggle("near", s > 1.5);
  $("#zoom").textContent = Math.round(s * 100) + " %";
  if (!scale) return;
  const arcsec = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800].findLast(a => a / scale * s <= 90) ?? 1, px = arcsec / scale * s;
  $("#bar").setAttribute("width", px);
  $("#bar path").setAttribute("d", `M.7 0v6h${Math.max(1, px - 1.4)}V0`);
  $("#bar-is").textContent = arcsec < 60 ? arcsec + "″" : arcsec / 60 + "′";
}
function zoom(f, cx = box.clientWidth / 2, cy = box.clientHeight / 2) {
  const n = Math.min(32, Math.max(.02, s * f));
  x = cx - (cx - x) * n / s; y = cy - (cy - y) * n / s; s = n; put();
}
function fit() {
  s = Math.min(box.clientWidth / W, box.clientHeight / H);
  x = (box.clientWidth - W * s) / 2; y = (box.clientHeight - H * s) / 2; put();
}

// α, δ between the points of the grid that the server sent, bilinear
function skyAt(px, py) {
  const n = grid.grid, u = Math.min(n - 1.001, Math.max(0, px / (W - 1) * (n - 1))), v = Math.min(n - 1.001, Math.max(0, py / (H - 1) * (n - 1)));
  const i = Math.floor(u), j = Math.floor(v), a = px / (W - 1) * (n - 1) - i, b = py / (H - 1) * (n - 1) - j;
  const mix = t => (1 - b) * ((1 - a) * t[j * n + i] + a * t[j * n + i + 1]) + b * ((1 - a) * t[(j + 1) * n + i] + a * t[(j + 1) * n + i + 1]);
  return [(mix(grid.ra) + 360) % 360, mix(grid.dec)];
}
const minus = t => t.replace("-", "−");
box.addEventListener("wheel", e => {
  e.preventDefault();
  const r = box.getBoundingClientRect();
  zoom(e.deltaY < 0 ? 1.25 : .8, e.clientX - r.left, e.clientY - r.top);
}, { passive: false });
box.addEventListener("pointermove", e => {
  if (e.buttons === 1) { x += e.movementX; y += e.movementY; put(); }
  const r = box.getBoundingClientRect(), px = (e.clientX - r.left - x) / s - .5, py = H - (e.clientY - r.top - y) / s - .5;
  $("#px").textContent = minus(`${px.toFixed(1)}, ${py.toFixed(1)}`);
  if (grid) { const [ra, dec] = skyAt(px, py); $("#radec").textContent = minus(`${ra.toFixed(5)} ${dec.toFixed(5)}`); }
});
box.addEventListener("dragstart", e => e.preventDefault());

const buttons = $$("[data-plane]"), pictures = $$("img[data-picture]", pan);
let now = Math.max(0, buttons.findIndex(b => b.hasAttribute("aria-current")));
function show(k) {
  now = (k + buttons.length) % buttons.length;
  const name = buttons[now].dataset.plane;
  pictures.forEach(p => { if (p.dataset.picture === name && !p.getAttribute("src")) p.src = p.dataset.src; p.hidden = p.dataset.picture !== name; });
  buttons.forEach((b, j) => j === now ? b.setAttribute("aria-current", "true") : b.removeAttribute("aria-current"));
  $("#which").textContent = buttons[now].textContent.trim().toLowerCase();
  const address = new URL(location);
  address.searchParams.set("plane", name);
  history.replaceState(null, "", address);
}
buttons.forEach((b, j) => b.addEventListener("click", e => { e.preventDefault(); show(j); }));
pictures.forEach(p => p.addEventListener("error", () => { $(".nothing").hidden = p.hidden; }));

$$("[data-layer]").forEach(c => {
  const set = () => $$(c.dataset.layer, pan).forEach(e => {
    if (c.checked && e.dataset.src && !e.getAttribute("src")) e.src = e.dataset.src;
    e.toggleAttribute("hidden", !c.checked);
    e.style.display = c.checked ? "" : "none";
  });
  c.addEventListener("change", set); set();
});
const flip = sel => { const all = $$(sel), on = all.some(c => c.checked); all.forEach(c => { c.checked = !on; c.dispatchEvent(new Event("change")); }); };
Object.assign(keys, {
  z: () => show(now + 1), m: () => flip(".masks input"), o: () => flip(".marks input"),
  i: () => pan.classList.toggle("invert"), "+": () => zoom(1.25), "-": () => zoom(.8), 0: fit,
});
$$("[data-key]").forEach(b => b.addEventListener("click", () => keys[b.dataset.key]()));
addEventListener("resize", fit);
fit();
