// The conductor: choose rows, ask in a dialog, rows that refresh themselves.
import { $, $$, current, keys, renew } from "./frame.js";

const EVERY = 15000; // ms

// choosing
const boxes = () => $$("#rows td input[type=checkbox]");
function tell() {
  const chosen = boxes().filter(b => b.checked).length, all = $("#rows [data-all]"), said = $("#rows [data-chosen]");
  if (all) { all.hidden = false; all.checked = chosen > 0 && chosen === boxes().length; all.indeterminate = chosen > 0 && !all.checked; }
  if (said) said.textContent = `${chosen} chosen`;
}
addEventListener("change", e => {
  if (e.target.matches("#rows [data-all]")) boxes().forEach(b => { b.checked = e.target.checked; });
  if (e.target.matches("#rows input[type=checkbox]")) tell();
});
keys.x = () => {
  const box = current() && $("td input[type=checkbox]", current());
  if (!box) return false;
  box.checked = !box.checked;
  tell();
};

// asking: the form comes from the server and is the same as on the page that asks without script
const dialog = document.createElement("dialog");
dialog.setAttribute("aria-label", "Reason");
document.body.append(dialog);
async function ask(address, options, instead) {
  try {
    const answer = await fetch(address, options);
    if (!answer.ok || answer.redirected) return instead();
    dialog.innerHTML = await answer.text();
    if (!$("form.ask", dialog)) return instead();
    dialog.showModal();
    $("[autofocus], input:not([type=hidden])", dialog)?.focus();
  } catch { instead(); }
}
addEventListener("click", e => {
  const asks = e.target.closest("[data-ask]"), closes = e.target.closest("dialog [data-close]");
  if (closes) { e.preventDefault(); dialog.close(); }
  if (!asks || e.ctrlKey || e.metaKey || e.shiftKey || e.button) return;
  e.preventDefault();
  if (asks.href) return ask(`${asks.href}&part=form`, {}, () => { location = asks.href; });
  const body = new FormData(asks.form, asks);
  body.set("part", "form");
  ask(asks.form.getAttribute("action"), { method: "POST", body }, () => { asks.removeAttribute("data-ask"); asks.form.requestSubmit(asks); });
});

// refreshing: what the server says now takes the place of what it said, and what was chosen stays chosen
const saves = matchMedia("(prefers-reduced-data: reduce)").matches || navigator.connection?.saveData;
async function refresh() {
  const rows = $("#rows[data-live]");
  if (!rows || document.hidden || dialog.open || saves || document.activeElement?.closest("form.filters")) return;
  const address = new URL(location);
  address.searchParams.set("part", "table");
  const answer = await fetch(address).catch(() => null);
  if (!answer?.ok || answer.redirected || dialog.open) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const chosen = new Set(boxes().filter(b => b.checked).map(b => b.value));
  const left = $("#rows .table")?.scrollLeft ?? 0;
  for (const id of ["pills", "rows", "side"]) {
    const now = $(`#${id}`), next = $(`#${id}`, fresh);
    if (now && next) now.replaceWith(document.adoptNode(next));
  }
  boxes().forEach(b => { b.checked = chosen.has(b.value); });
  if ($("#rows .table")) $("#rows .table").scrollLeft = left;
  renew();
  tell();
}
if ($("#rows")) {
  tell();
  setInterval(refresh, EVERY);
  addEventListener("visibilitychange", refresh);
}
