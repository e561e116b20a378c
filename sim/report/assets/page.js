"use strict";
// A name in a legend hides its curves everywhere; a pointer over a plot reads its curves.
const all = (q, at) => [...(at || document).querySelectorAll(q)];
for (const key of all("svg .key")) {
  key.addEventListener("click", () => {
    const off = !key.classList.contains("off");
    for (const e of all("[data-s]")) if (e.dataset.s === key.dataset.s) e.classList.toggle("off", off);
  });
}
const tip = document.getElementById("tip");
const show = (v) => Math.abs(v) >= 100 ? v.toFixed(0) : Math.abs(v) >= 1 ? String(+v.toFixed(2)) : String(+v.toPrecision(2));
// value reads a scale backwards: p is 0 to 1.
function value(scale, p) {
  const [kind, lo, hi, edge, label] = scale.split("|"), a = +lo, b = +hi;
  if (kind === "nines") return p > 0.999 ? "100 %" : +((1 - Math.pow(10, -p * b)) * 100).toPrecision(4) + " %";
  if (kind === "log" && edge && p < 0.002) return edge;
  const v = kind === "log" ? a * Math.pow(b / a, p) : a + (b - a) * p;
  if (label.includes("missed")) return show(v * 100) + " %";
  if (label === "share") return show(v * 100) + " %";
  if (label.startsWith("viewers")) return String(Math.round(v));
  return kind === "log" ? (v >= 1000 ? show(v / 1000) + " s" : show(v) + " ms") : show(v);
}
// points returns the corners of a path that was written by chart.go.
function points(path) {
  if (path.corners) return path.corners;
  let x = 0, y = 0;
  const out = [];
  for (const [, op, args] of path.getAttribute("d").matchAll(/([MLHV])([^MLHV]*)/g)) {
    const n = args.trim().split(/\s+/).map(Number);
    if (op === "H") x = n[0]; else if (op === "V") y = n[0]; else [x, y] = n;
    out.push([x, y]);
  }
  return path.corners = out;
}
for (const svg of all("svg[data-plot]")) {
  const [left, top, width, height] = svg.dataset.plot.split(" ").map(Number);
  svg.addEventListener("pointermove", (ev) => {
    const m = svg.getScreenCTM(), x = (ev.clientX - m.e) / m.a, y = (ev.clientY - m.f) / m.d;
    if (x < left || x > left + width || y < top || y > top + height) { tip.hidden = true; return; }
    tip.replaceChildren();
    const say = (s) => { const d = document.createElement("div"); d.textContent = s; tip.append(d); };
    const at = svg.dataset.x.split("|");
    say(at[4] + ": " + (at[0] === "linear" ? Math.round(at[1] * 1 + (at[2] - at[1]) * (x - left) / width) : value(svg.dataset.x, (x - left) / width)));
    for (const g of all(".s:not(.off)", svg).reverse()) { // the first is drawn last
      let here = null;
      for (const p of points(g.querySelector(".l"))) { if (p[0] > x) break; here = p; }
      if (here) say(g.dataset.name + ": " + value(svg.dataset.y, (top + height - here[1]) / height));
    }
    tip.hidden = false;
    tip.style.left = Math.max(4, Math.min(ev.clientX + 14, innerWidth - tip.offsetWidth - 6)) + "px";
    tip.style.top = (ev.clientY + 16 + tip.offsetHeight > innerHeight ? ev.clientY - tip.offsetHeight - 10 : ev.clientY + 16) + "px";
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
}
