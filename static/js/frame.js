// Every page: theme without reload, menu, keys, rows that open, forms that apply at once.
export const $ = (s, e = document) => e.querySelector(s);
export const $$ = (s, e = document) => [...e.querySelectorAll(s)];
const root = document.documentElement;
const typing = e => e.target.matches("input:not([type=checkbox], [type=range], [type=radio]), select, textarea");
export const keys = {}; // key -> action; each widget adds its own

// The address says which tag is shown, also where a cookie chose it: it can be sent to others as it stands.
if (root.dataset.tag && !new URLSearchParams(location.search).get("tag")) {
  const address = new URL(location);
  address.searchParams.set("tag", root.dataset.tag);
  history.replaceState(null, "", address);
}

const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
$("#theme-form")?.addEventListener("submit", e => {
  e.preventDefault();
  const theme = isDark() ? "light" : "dark";
  root.dataset.theme = theme;
  document.cookie = `theme=${theme};path=/;max-age=31536000;samesite=lax`;
});
$("#menu")?.addEventListener("click", e => e.currentTarget.setAttribute("aria-expanded", $(".bar").classList.toggle("open")));
addEventListener("change", e => { if (e.target.matches("[data-apply]")) e.target.form.requestSubmit(); });
$$("[data-hide-with-script]").forEach(e => { e.hidden = true; });

keys["?"] = () => $("#help").showModal();
keys["/"] = () => $("#find").focus();
keys.f = () => $("[data-filters] input, .filters input")?.focus();
keys.h = () => { const up = $$(".crumbs a").at(-1); if (up) location = up.href; };
addEventListener("keydown", e => {
  if (typing(e) || e.ctrlKey || e.metaKey || e.altKey) return;
  const act = keys[e.key];
  if (act && act(e) !== false) e.preventDefault();
});

if (matchMedia("(max-width: 1000px)").matches) {
  $$("details[data-filters]").forEach(d => { d.open = false; });
  $$("[data-to=end]").forEach(e => { e.scrollLeft = 1e4; });
}

// rows and cards: j k move, Enter opens; a click anywhere in a row opens it
const found = () => $$(".cand").length ? $$(".cand") : $$("tbody tr[data-href]");
let items = found();
let at = Math.max(0, items.findIndex(x => x.matches(".now, [aria-selected=true]")));
const mark = (x, on) => x.matches(".cand") ? x.classList.toggle("now", on) : on ? x.setAttribute("aria-selected", "true") : x.removeAttribute("aria-selected");
export const current = () => items[at];
export function go(k) {
  if (!items.length) return;
  mark(items[at], false);
  at = Math.min(items.length - 1, Math.max(0, k));
  mark(items[at], true);
  items[at].scrollIntoView({ block: "nearest" });
}
keys.j = () => { const next = $("[data-next]"); if (next && !items.length) location = next.href; else go(at + 1); };
keys.k = () => { const before = $("[data-before]"); if (before && !items.length) location = before.href; else go(at - 1); };
keys.Enter = e => {
  if (e.target.closest("a, button, summary") || !items[at]?.dataset.href) return false;
  location = items[at].dataset.href;
};
export function renew() { // rows came and went: stay at the same one
  const key = items[at]?.dataset.row, was = items[at]?.matches("[aria-selected]");
  items = found();
  at = Math.max(0, items.findIndex(x => x.dataset.row === key));
  if (was && items[at]?.dataset.row === key) mark(items[at], true);
}
export const step = by => go(at + by);
addEventListener("click", e => {
  const row = e.target.closest("tbody tr[data-href]");
  if (row && !e.target.closest("a, button, input, label") && !getSelection().toString()) location = row.dataset.href;
});

// a wide drawing begins at what it is about
$$("[data-centre]").forEach(box => {
  const of = $(box.dataset.centre, box);
  if (of) box.scrollLeft += of.getBoundingClientRect().left - box.getBoundingClientRect().left - box.clientWidth / 2 + 66;
});

// a CCD in the drawing and its row in the table light up together
const both = (name, on) => $$("[data-ccd]").filter(e => e.dataset.ccd === name).forEach(e => e.classList.toggle("on", on));
$$("[data-ccd]").forEach(e => {
  for (const t of ["mouseenter", "focusin"]) e.addEventListener(t, () => both(e.dataset.ccd, true));
  for (const t of ["mouseleave", "focusout"]) e.addEventListener(t, () => both(e.dataset.ccd, false));
});
const shown = $(".strip [aria-current]");
if (shown) shown.parentElement.scrollLeft = shown.offsetLeft - shown.parentElement.clientWidth + shown.offsetWidth + 14;
