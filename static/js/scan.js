// Labels without reload: r b u label and step on, Backspace takes back, x chooses, Shift labels all chosen; sliders.
// Without script the buttons post forms and the limits are numbers in fields.
import { $, $$, current, keys, step } from "./frame.js";

const words = { r: "real", b: "bogus", u: "unsure" };

function show(card, word) {
  if (word) card.dataset.label = word; else delete card.dataset.label;
  $(".said", card).textContent = word ? `you: ${word}` : "";
  $$(".verdicts button", card).forEach(b => b.setAttribute("aria-pressed", b.value === word));
}

async function post(action, data, cards, word) {
  const before = cards.map(card => card.dataset.label ?? "");
  data.set("verdict", word);
  cards.forEach(card => { show(card, word); card.setAttribute("aria-busy", "true"); });
  try {
    const answer = await fetch(action, { method: "POST", body: data, headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    const done = $("[data-done]"), change = before.filter(b => !b).length;
    if (done && word) done.textContent = +done.textContent.replace(/\D/g, "") + change;
    if (done && !word) done.textContent = +done.textContent.replace(/\D/g, "") - before.length + change;
  } catch {
    cards.forEach((card, i) => {
      show(card, before[i]);
      $(".said", card).textContent = "not saved; log in again or reload";
      card.dataset.label = before[i] || "none";
    });
  } finally {
    cards.forEach(card => card.removeAttribute("aria-busy"));
  }
}

function say(card, word) {
  const form = $(".verdicts", card);
  if (form) post(form.action, new FormData(form), [card], word);
}

const bulk = $("#bulk"), boxes = $$("[form=bulk][name=measurement]");
const chosen = () => boxes.filter(b => b.checked);
function count() {
  $("[data-chosen]").textContent = `${chosen().length} chosen`;
  bulk.hidden = !chosen().length;
}
function sayAll(word) {
  if (!chosen().length) return;
  post(bulk.action, new FormData(bulk), chosen().map(b => b.closest(".cand")), word);
  boxes.forEach(b => { b.checked = false; });
  count();
}

for (const [key, word] of Object.entries(words)) {
  keys[key] = () => { const card = current(); if (card) { say(card, word); step(1); } };
  if (bulk) keys[key.toUpperCase()] = () => sayAll(word);
}
keys.Backspace = () => { step(-1); if (current()) say(current(), ""); };
keys.t = () => { if (current()?.dataset.trace) location = current().dataset.trace; };
$$(".verdicts").forEach(form => form.addEventListener("submit", e => {
  e.preventDefault();
  const card = form.closest(".cand"), word = e.submitter?.value ?? "";
  say(card, card.dataset.label === word ? "" : word);
}));
if (bulk) {
  keys.x = () => { const box = current() && $("[form=bulk]", current()); if (box) { box.checked = !box.checked; count(); step(1); } };
  boxes.forEach(b => b.addEventListener("change", count));
  bulk.addEventListener("submit", e => { e.preventDefault(); sayAll(e.submitter?.value ?? ""); });
  const all = $("[data-all]");
  all.hidden = false;
  all.addEventListener("click", () => { boxes.forEach(b => { b.checked = true; }); count(); });
  count();
}
if ($(".verdicts")) step(0); // shows which card the keys are about

// A slider moves the number in its field; letting go searches. At its end it asks for nothing.
$$("[data-ranges] input[type=range]").forEach(slider => {
  const field = slider.form.elements[slider.dataset.for], says = $("output", slider.parentElement);
  const isLargest = slider.dataset.for.startsWith("max"), rest = isLargest ? slider.max : slider.min;
  const plain = v => (slider.hasAttribute("data-log") ? 10 ** v : +v);
  const scaled = v => (slider.hasAttribute("data-log") ? Math.log10(v) : v);
  slider.hidden = false;
  slider.value = field.value ? scaled(+field.value) : rest;
  slider.addEventListener("input", () => {
    const isAtRest = Math.abs(slider.value - rest) < (slider.max - slider.min) / 200;
    field.value = isAtRest ? "" : String(+plain(slider.value).toPrecision(isLargest ? 4 : 3));
    says.textContent = isAtRest ? "" : `${isLargest ? "≤" : "≥"} ${field.value}`;
  });
  slider.addEventListener("change", () => slider.form.requestSubmit());
});
$("[data-ranges]")?.addEventListener("submit", e => {
  for (const field of e.target.elements) if (!field.value && field.name) field.disabled = true; // a short address
});
