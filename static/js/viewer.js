// Image viewer: pan, zoom about the pointer, blink, mask bits, marks; the view is in the address.
import { $, $$, keys } from "./frame.js";
import { followPointer } from "./readout.js";

const pan = $(".pan"), box = pan.parentElement, map = $(".map"), tiles = $("#tiles"), TILE = 512, MAP = 96;
const W = +pan.dataset.width, H = +pan.dataset.height, scale = +pan.dataset.scale, factor = +pan.dataset.factor;
const asked = new URLSearchParams(location.search);
let s = 1, x = 0, y = 0, fitted = 1, waiting = 0;

// What is changed without a new page is written into the address, where a copy of it finds it.
function remember(changes) {
  const address = new URL(location);
  for (const [name, value] of Object.entries(changes)) value === null ? address.searchParams.delete(name) : address.searchParams.set(name, value);
  history.replaceState(null, "", address);
}
const later = action => { clearTimeout(waiting); waiting = setTimeout(action, 250); };
const middle = () => [(box.clientWidth / 2 - x) / s - .5, H - (box.clientHeight / 2 - y) / s - .5];

function put() {
  pan.style.transform = `translate(${x}px, ${y}px) scale(${s})`;
  pan.style.setProperty("--s", s);
  pan.classList.toggle("near", s > 1.5);
  $("#zoom").textContent = Math.round(s * 100) + " %";
  const whole = Math.abs(s - fitted) < 1e-6;
  map.hidden = whole;
  const part = MAP / Math.max(W, H), frame = { left: -x / s, top: -y / s, width: box.clientWidth / s, height: box.clientHeight / s };
  const clip = (v, most) => Math.min(most, Math.max(0, v));
  const l = clip(frame.left, W), t = clip(frame.top, H), r = clip(frame.left + frame.width, W), b = clip(frame.top + frame.height, H);
  Object.assign($("i", map).style, { left: 3 + l * part + "px", top: 3 + t * part + "px", width: (r - l) * part + "px", height: (b - t) * part + "px" });
  later(() => {
    remember(whole ? { at: null, zoom: null } : { at: middle().map(v => v.toFixed(1)).join(","), zoom: s.toFixed(3) });
    refine();
    untangle();
  });
  if (!scale) return;
  const arcsec = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800].findLast(a => a / scale * s <= 90) ?? 1, px = arcsec / scale * s;
  $("#bar").setAttribute("width", px);
  $("#bar path").setAttribute("d", `M.7 0v6h${Math.max(1, px - 1.4)}V0`);
  $("#bar-is").textContent = arcsec < 60 ? arcsec + "″" : arcsec / 60 + "′";
}
// Words that would lie on others are left out until one zooms in; those of the chosen detection come first.
function untangle() {
  const words = $$(".l-cut text", pan).map(text => [text, text.parentNode.transform.baseVal[0].matrix, text.parentNode.querySelector(".frame-of")]);
  const shown = [];
  for (const [text, { e, f }] of words.sort((a, b) => !!b[2] - !!a[2])) {
    const place = { left: e * s, right: e * s + 14 + 6.5 * text.textContent.length, y: f * s };
    const isFree = shown.every(one => Math.abs(one.y - place.y) > 13 || one.left > place.right || one.right < place.left);
    if (isFree) shown.push(place);
    text.style.display = isFree ? "" : "none";
  }
}
function zoom(f, cx = box.clientWidth / 2, cy = box.clientHeight / 2) {
  const n = Math.min(32, Math.max(.02, s * f));
  x = cx - (cx - x) * n / s; y = cy - (cy - y) * n / s; s = n; put();
}
function look(px, py, at) { // puts a pixel into the middle
  s = at; x = box.clientWidth / 2 - (px + .5) * s; y = box.clientHeight / 2 - (H - py - .5) * s; put();
}
function fit() {
  s = fitted = Math.min(box.clientWidth / W, box.clientHeight / H);
  x = (box.clientWidth - W * s) / 2; y = (box.clientHeight - H * s) / 2; put();
}

// Tiles at full resolution over the preview of a large image, as soon as its pixels are larger than those of the screen.
function refine() {
  const picture = pictures[now];
  if (factor < 2 || s * factor < 1.2 || !picture) { tiles.replaceChildren(); return; }
  const wanted = new Set(), left = Math.max(0, Math.floor(-x / s / TILE)), right = Math.min(Math.ceil(W / TILE), Math.ceil((box.clientWidth - x) / s / TILE));
  const low = Math.max(0, Math.floor((H - (box.clientHeight - y) / s) / TILE)), high = Math.min(Math.ceil(H / TILE), Math.ceil((H + y / s) / TILE));
  for (let i = left; i < right; i++) for (let j = low; j < high; j++) wanted.add(picture.dataset.tiles.replace("/0/0.png", `/${i}/${j}.png`) + `#${i},${j}`);
  for (const tile of [...tiles.children]) if (!wanted.delete(tile.dataset.key)) tile.remove();
  for (const key of wanted) {
    const [i, j] = key.split("#")[1].split(",").map(Number), tile = new Image();
    tile.dataset.key = key; tile.alt = "";
    tile.style.cssText = `left:${i * TILE}px;bottom:${j * TILE}px;width:${Math.min(TILE, W - i * TILE)}px;height:${Math.min(TILE, H - j * TILE)}px`;
    tile.src = key.split("#")[0];
    tiles.append(tile);
  }
}

const inBox = e => { const r = box.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
box.addEventListener("wheel", e => { e.preventDefault(); zoom(e.deltaY < 0 ? 1.25 : .8, ...inBox(e)); }, { passive: false });
const fingers = new Map(); // of those on the picture: where each was
box.addEventListener("pointerdown", e => fingers.set(e.pointerId, inBox(e)));
for (const end of ["pointerup", "pointercancel", "pointerleave"]) box.addEventListener(end, e => fingers.delete(e.pointerId));
box.addEventListener("pointermove", e => {
  if (e.buttons !== 1 || e.target.closest(".map")) return;
  const here = inBox(e), before = fingers.get(e.pointerId) ?? here, others = [...fingers.keys()].filter(id => id !== e.pointerId);
  fingers.set(e.pointerId, here);
  x += (here[0] - before[0]) / (others.length + 1); y += (here[1] - before[1]) / (others.length + 1);
  if (others.length === 1) { // two fingers: as far as they go apart
    const [u, v] = fingers.get(others[0]), away = p => Math.hypot(p[0] - u, p[1] - v);
    zoom(away(here) / (away(before) || 1), (here[0] + u) / 2, (here[1] + v) / 2);
  } else put();
});
box.addEventListener("dragstart", e => e.preventDefault());
const jump = e => {
  const r = map.getBoundingClientRect(), part = MAP / Math.max(W, H);
  look((e.clientX - r.left - 3) / part, H - (e.clientY - r.top - 3) / part, s);
};
map.addEventListener("pointerdown", jump);
map.addEventListener("pointermove", e => { if (e.buttons === 1) jump(e); });

const buttons = $$("[data-plane]"), pictures = $$("img[data-picture]", pan);
let now = Math.max(0, buttons.findIndex(b => b.hasAttribute("aria-current")));
function show(k, changed = true) {
  now = (k + buttons.length) % buttons.length;
  const name = buttons[now].dataset.plane;
  pictures.forEach(p => { if (p.dataset.picture === name && !p.getAttribute("src")) p.src = p.dataset.src; p.hidden = p.dataset.picture !== name; });
  buttons.forEach((b, j) => j === now ? b.setAttribute("aria-current", "true") : b.removeAttribute("aria-current"));
  $("#which").textContent = buttons[now].textContent.trim().toLowerCase();
  $("img", map).src = pictures[now].src;
  refine();
  if (changed) remember({ plane: name });
}
buttons.forEach((b, j) => b.addEventListener("click", e => { e.preventDefault(); show(j); }));
pictures.forEach(p => p.addEventListener("error", () => { $(".nothing").hidden = p.hidden; }));

const SVG = "http://www.w3.org/2000/svg";
const element = (name, attributes) => { const e = document.createElementNS(SVG, name); for (const k in attributes) e.setAttribute(k, attributes[k]); return e; };
async function load(box) { // marks that are not in the page: one group of symbols with what each stands for
  const address = box.dataset.marks, kind = box.name, r = +pan.dataset.mark;
  delete box.dataset.marks;
  const answer = await fetch(address), told = answer.ok ? await answer.json() : { marks: [] };
  const group = element("g", { class: `l-${kind}` });
  for (const [px, py, text, how] of told.marks) {
    const mark = element("use", { href: `#mark-${kind}`, x: px + .5 - r, y: H - py - .5 - r, width: 2 * r, height: 2 * r, class: how, "pointer-events": "bounding-box" });
    mark.append(Object.assign(element("title", {}), { textContent: text }));
    group.append(mark);
  }
  $("#marks").prepend(group);
  if (!answer.ok) box.closest("label").title = "these marks cannot be shown: a file is missing or damaged";
}
const chosen = (part) => $$(`${part} input`).filter(c => c.checked).map(c => c.name).join(",");
$$("[data-layer]").forEach(c => {
  const set = async () => {
    if (c.checked && c.dataset.marks) await load(c);
    $$(c.dataset.layer, pan).forEach(e => {
      if (c.checked && e.dataset.src && !e.getAttribute("src")) e.src = e.dataset.src;
      e.toggleAttribute("hidden", !c.checked);
      e.style.display = c.checked ? "" : "none";
    });
  };
  c.addEventListener("change", () => { set(); remember({ marks: chosen(".marks"), masks: chosen(".masks") || null }); });
  set();
});
const flip = sel => { const all = $$(sel), on = all.some(c => c.checked); all.forEach(c => { c.checked = !on; c.dispatchEvent(new Event("change")); }); };
const invert = () => remember({ invert: pan.classList.toggle("invert") ? "1" : null });
Object.assign(keys, {
  // Pictures blink; the map of limits is no picture of the sky.
  z: () => show(now + (buttons[(now + 1) % buttons.length].dataset.plane === "limit" ? 2 : 1)), m: () => flip(".masks input"), o: () => flip(".marks input"), i: invert,
  "+": () => zoom(1.25), "-": () => zoom(.8), 0: fit,
  "[": () => $("[data-before]")?.click(), "]": () => $("[data-next]")?.click(),
});
$$("[data-key]").forEach(b => b.addEventListener("click", () => keys[b.dataset.key]()));

// What makes a new page keeps the view of this one.
const go = changes => { const address = new URL(location); for (const k in changes) address.searchParams.set(k, changes[k]); location = address; };
$("#stretch").addEventListener("submit", e => { e.preventDefault(); go({ stretch: e.target.stretch.value }); });
document.addEventListener("click", e => {
  const link = e.target.closest(".viewer a[href^='?']"), detection = link && new URLSearchParams(new URL(link.href?.baseVal ?? link.href, location).search).get("detection");
  if (detection && !e.ctrlKey && !e.metaKey && !e.shiftKey) { e.preventDefault(); go({ detection }); }
});

followPointer(box, { place: e => { const [u, v] = inBox(e); return [(u - x) / s - .5, H - (v - y) / s - .5]; }, plane: () => pictures[now], W, H });
addEventListener("resize", () => { const [px, py] = middle(), whole = s === fitted; whole ? fit() : look(px, py, s); });
if (asked.get("invert")) pan.classList.add("invert");
fit();
const at = (asked.get("at") ?? "").split(",").map(Number), near = +asked.get("zoom");
if (at.length === 2 && at.every(Number.isFinite) && near > 0) look(...at, Math.min(32, Math.max(.02, near)));
show(now, false);
