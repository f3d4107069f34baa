// Labels without reload: r b u label and step on, Backspace takes back. Without script the buttons post the form.
import { $, $$, current, keys, step } from "./frame.js";

const words = { r: "real", b: "bogus", u: "unsure" };

function show(card, word) {
  if (word) card.dataset.label = word; else delete card.dataset.label;
  $(".said", card).textContent = word ? `you: ${word}` : "";
  $$(".verdicts button", card).forEach(b => b.setAttribute("aria-pressed", b.value === word));
}

async function say(card, word) {
  const form = $(".verdicts", card);
  if (!form) return;
  const before = card.dataset.label ?? "", data = new FormData(form);
  data.set("verdict", word);
  show(card, word);
  card.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, { method: "POST", body: data, headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
  } catch {
    show(card, before);
    $(".said", card).textContent = "not saved; log in again or reload";
    card.dataset.label = before || "none";
  } finally {
    card.removeAttribute("aria-busy");
  }
}

for (const [key, word] of Object.entries(words)) keys[key] = () => { const card = current(); if (card) { say(card, word); step(1); } };
keys.Backspace = () => { step(-1); if (current()) say(current(), ""); };
$$(".verdicts").forEach(form => form.addEventListener("submit", e => {
  e.preventDefault();
  const card = form.closest(".cand"), word = e.submitter?.value ?? "";
  say(card, card.dataset.label === word ? "" : word);
}));
if ($(".verdicts")) step(0); // shows which card the keys are about
