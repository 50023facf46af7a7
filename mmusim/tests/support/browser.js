// Looks at the page it runs in and returns what is wrong with it, in words.
const wrong = [];
const room = document.documentElement.clientWidth;

// Nothing is wider than the page, except inside a box that scrolls.
if (document.documentElement.scrollWidth > room)
  wrong.push(`overflow: the page is ${document.documentElement.scrollWidth} wide in ${room}`);
const scrolls = (e) => /auto|scroll|hidden/.test(getComputedStyle(e).overflowX);
const inScroller = (e) => {
  for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
    if (scrolls(p)) return true;
  return false;
};
const name = (e) => `${e.tagName.toLowerCase()}${e.id ? "#" + e.id : ""}${e.className && e.className.baseVal === undefined ? "." + e.className : ""}`;
for (const e of document.querySelectorAll("body *")) {
  if (e.closest("svg") && e.tagName !== "svg") continue;
  const box = e.getBoundingClientRect();
  if (box.width && box.right > room + 1 && box.left > -1000 && !inScroller(e))
    wrong.push(`overflow: ${name(e)} ends at ${Math.round(box.right)} of ${room}`);
  if (scrolls(e) && e.scrollWidth > e.clientWidth + 1 && e.clientWidth && e.tabIndex < 0)
    wrong.push(`keyboard: ${name(e)} scrolls and cannot be reached by keys`);
}

// Every figure is drawn.
for (const figure of document.querySelectorAll("figure")) {
  const svg = figure.querySelector("svg");
  const box = svg && svg.getBoundingClientRect();
  const shapes = svg ? [...svg.querySelectorAll("path, use")].filter((p) => {
    const b = p.getBoundingClientRect();
    return b.width + b.height > 0;
  }) : [];
  if (!box || box.width < 50 || box.height < 50 || shapes.length < 5)
    wrong.push(`figure: ${figure.textContent.trim().slice(0, 60)} is not drawn`);
}

// Contrast of every text with what is behind it: WCAG 2.1, level AA.
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parse = (text) => {
  const m = /rgba?\(([^)]+)\)/.exec(text || "");
  if (!m) return null;
  const [r, g, b, a = 1] = m[1].split(/[ ,/]+/).filter(Boolean).map(Number);
  return [r, g, b, a];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
const paintOf = (e) => {
  const style = getComputedStyle(e);
  if (!e.closest("svg") || e.tagName === "svg") return parse(style.backgroundColor);
  if (e.tagName === "g" || e.tagName === "text" || e.tagName === "tspan") return null;
  const fill = parse(style.fill);
  return fill && [fill[0], fill[1], fill[2], fill[3] * Number(style.fillOpacity) * Number(style.opacity)];
};
const behind = (e, x, y) => {
  const layers = [];
  if (e.closest("svg")) {
    const stack = document.elementsFromPoint(x, y);
    for (const below of stack) {
      if (below === e || e.contains(below)) continue;
      const paint = paintOf(below);
      if (paint && paint[3]) layers.push(paint);
    }
  } else
    for (let p = e; p; p = p.parentElement) {
      const paint = paintOf(p);
      if (paint && paint[3]) layers.push(paint);
    }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return layers.reverse().reduce((below, top) => over(top, below), dark ? [18, 18, 18] : [255, 255, 255]);
};
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, e = node.parentElement;
  if (!node.data.trim() || /^(script|style|title|desc)$/i.test(e.tagName)) continue;
  const style = getComputedStyle(e);
  if (style.visibility === "hidden" || !e.getClientRects().length) continue;
  if (e.closest("svg")) e.scrollIntoView({ block: "center", inline: "center" });
  const box = e.getBoundingClientRect();
  const below = behind(e, box.x + box.width / 2, box.y + box.height / 2);
  const ink = parse(e.closest("svg") ? style.fill : style.color);
  const [a, b] = [luminance(over(ink, below)), luminance(below)].sort((p, q) => q - p);
  const ratio = (a + 0.05) / (b + 0.05);
  const px = parseFloat(style.fontSize), large = px >= 24 || (px >= 18.66 && style.fontWeight >= 700);
  texts += 1;
  if (ratio < (large ? 3 : 4.5))
    wrong.push(`contrast: ${ratio.toFixed(2)} of "${node.data.trim().slice(0, 40)}" in ${name(e)}`);
}
window.scrollTo(0, 0);
if (!texts) wrong.push("page: there is no text");

// Who cannot see the page, or uses no mouse, finds the way.
for (const landmark of ["header", "main"])
  if (document.querySelectorAll(`body > ${landmark}`).length !== 1) wrong.push(`landmark: ${landmark}`);
if (!document.documentElement.lang) wrong.push("language: the page says none");
if (document.querySelectorAll("h1").length !== 1) wrong.push("headings: not one h1");
let level = 1;
for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
  const own = Number(h.tagName[1]);
  if (own > level + 1) wrong.push(`headings: ${h.textContent} skips a level`);
  level = own;
}
for (const svg of document.querySelectorAll("figure svg"))
  if (svg.getAttribute("role") !== "img" || (svg.getAttribute("aria-label") || "").length < 30)
    wrong.push("figure: has no text for who does not see it");
for (const table of document.querySelectorAll("table"))
  if (!table.caption) wrong.push(`table: ${name(table)} has no caption`);
for (const h of document.querySelectorAll("thead th"))
  if (h.scope !== "col") wrong.push(`table: header ${h.textContent} has no scope`);
for (const input of document.querySelectorAll("input"))
  if (!input.labels.length && !input.ariaLabel) wrong.push("input: has no label");

// Nothing comes from elsewhere.
for (const entry of performance.getEntriesByType("resource")) wrong.push(`resource: ${entry.name}`);
for (const e of document.querySelectorAll("[src], link, iframe, object, svg image, svg use")) {
  const from = e.getAttribute("src") || e.getAttribute("href") || e.getAttribute("xlink:href") || "";
  if (!from.startsWith("#")) wrong.push(`resource: ${name(e)} from ${from}`);
}
return wrong;
