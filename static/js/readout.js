// Below the picture: the pixel under the pointer, its place on the sky, its value, weight and flags.
import { $ } from "./frame.js";

const grid = JSON.parse($("#sky-grid")?.textContent ?? "null"), BLOCK = 64;
const minus = t => t.replace("-", "−");
const number = v => v === null ? "–" : v === 0 ? "0" : minus(Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3 ? v.toExponential(3) : v.toPrecision(5).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, ""));
const blocks = new Map(); // address of a block → what is in it; null while it comes

// α, δ between the points of the grid that the server sent, bilinear
function skyAt(px, py, W, H) {
  const n = grid.grid, u = Math.min(n - 1.001, Math.max(0, px / (W - 1) * (n - 1))), v = Math.min(n - 1.001, Math.max(0, py / (H - 1) * (n - 1)));
  const i = Math.floor(u), j = Math.floor(v), a = px / (W - 1) * (n - 1) - i, b = py / (H - 1) * (n - 1) - j;
  const mix = t => (1 - b) * ((1 - a) * t[j * n + i] + a * t[j * n + i + 1]) + b * ((1 - a) * t[(j + 1) * n + i] + a * t[(j + 1) * n + i + 1]);
  return [(mix(grid.ra) + 360) % 360, mix(grid.dec)];
}
function say(found, px, py) {
  const line = found && py - found.y, column = found && px - found.x, bits = found?.flags[line][column];
  $("#value").textContent = found ? number(found.values[line][column]) : "–";
  $("#value-unit").textContent = found ? (found.unit === "electrons" ? "e⁻" : found.unit) : "";
  $("#weight").textContent = found ? number(found.weights[line][column]) : "–";
  $("#flags").textContent = found ? (bits ? found.names[bits].join(", ") : "none") : "–";
}

// `place(event)` gives the pixel, `plane()` the picture that is shown.
export function followPointer(box, { place, plane, W, H }) {
  let at = null, pause = 0;
  async function tell() {
    const [px, py] = at ?? [-1, -1];
    if (px < 0 || py < 0 || px >= W || py >= H) { say(null); return; }
    const left = Math.floor(px / BLOCK) * BLOCK, low = Math.floor(py / BLOCK) * BLOCK, address = `${plane().dataset.pixels}&x=${left}&y=${low}`;
    if (blocks.has(address)) { say(blocks.get(address), px, py); return; }
    say(null);
    clearTimeout(pause);
    pause = setTimeout(async () => {
      blocks.set(address, null);
      const answer = await fetch(address).catch(() => null);
      if (answer?.ok) blocks.set(address, await answer.json());
      tell();
    }, 60);
  }
  box.addEventListener("pointermove", e => {
    const [px, py] = place(e);
    $("#px").textContent = minus(px.toFixed(1)) + ", " + minus(py.toFixed(1));
    if (grid) $("#radec").textContent = minus(skyAt(px, py, W, H).map(v => v.toFixed(5)).join(" "));
    at = [Math.round(px), Math.round(py)];
    tell();
  });
  box.addEventListener("pointerleave", () => { at = null; say(null); });
}
