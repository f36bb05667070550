// Cells become slides: a heading begins one, and what does not fit goes on to the next. Then keys turn the pages.

const main = document.querySelector("main");
const WIDTH = 1280, HEIGHT = 720, SMALLEST = 0.4;

// Chapters: a heading, and units of what belongs together: code with its outputs, and the line before that ends with ":".
function chapters(cells) {
  const found = [{heading: document.createElement("h2"), units: []}];  // for what comes before the first heading
  let open = false;
  for (const cell of cells) {
    const parts = [...cell.children];
    for (const part of cell.className === "prose" ? parts : [parts]) {
      if (/^H\d$/.test(part.tagName)) {
        found.push({heading: part, units: []});
        open = false;
        continue;
      }
      const units = found.at(-1).units, unit = [part].flat();
      if (open) units.at(-1).push(...unit);
      else units.push(unit);
      open = part.tagName === "P" && part.textContent.trim().endsWith(":");
    }
  }
  return found.filter(chapter => chapter.units.length || chapter.heading.textContent);
}

function begin(heading, again) {
  const slide = document.createElement("section"), title = heading.cloneNode(true), body = document.createElement("div");
  title.removeAttribute("id");
  title.classList.toggle("again", again);
  body.className = "body";
  slide.append(title, body);
  main.append(slide);
  return body;
}

const fits = body => body.scrollHeight <= body.clientHeight && body.scrollWidth <= body.clientWidth;

function put(body, parts) {
  const box = document.createElement("div");
  box.append(...parts);
  body.append(box);
  if (fits(body)) return true;
  box.remove();
  return false;
}

// What is too large for a whole slide is made smaller.
function shrink(body, part) {
  body.append(part);
  for (let zoom = 0.95; zoom >= SMALLEST && !fits(body); zoom -= 0.05) part.style.zoom = zoom;
}

function fill({heading, units}) {
  let body = begin(heading, false);
  const next = () => { if (body.children.length) body = begin(heading, true); };
  for (const unit of units) {
    if (put(body, unit)) continue;
    const turned = body.children.length && begin(heading, true);
    if (turned && put(turned, unit)) {
      body = turned;
      continue;
    }
    if (turned) turned.parentElement.remove();
    for (const part of unit) {
      if (put(body, [part])) continue;
      next();
      if (!put(body, [part])) shrink(body, part);
    }
  }
}

async function makeSlides() {
  if (window.MathJax) {
    await MathJax.startup.promise;
    await MathJax.typesetPromise([main]);
  }
  await Promise.all([...document.images].map(image => image.decode()));
  const cells = [...main.children];
  main.replaceChildren();
  main.className = "measuring";
  chapters(cells).forEach(fill);
  main.className = "slides";
}

function turn(by) { location.hash = Math.min(Math.max(current() + by, 1), main.children.length); }
function current() { return Math.min(Math.max(parseInt(location.hash.slice(1)) || 1, 1), main.children.length); }

function show() {
  [...main.children].forEach((slide, index) => slide.classList.toggle("shown", index + 1 === current()));
  document.querySelector("#page").value = `${current()} / ${main.children.length}`;
}

function scale() {
  main.style.setProperty("--scale", Math.min(innerWidth / WIDTH, innerHeight / HEIGHT));
}

function theme() {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.style.colorScheme = (root.style.colorScheme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
}

const KEYS = {
  ArrowRight: () => turn(1), PageDown: () => turn(1), ArrowLeft: () => turn(-1), PageUp: () => turn(-1),
  " ": () => turn(1), Home: () => turn(-Infinity), End: () => turn(Infinity), t: theme,
};

await makeSlides();
document.querySelector("nav").hidden = false;
document.querySelector("#back").onclick = () => turn(-1);
document.querySelector("#next").onclick = () => turn(1);
document.querySelector("#theme").onclick = theme;
addEventListener("hashchange", show);
addEventListener("resize", scale);
addEventListener("keydown", event => {
  const typing = event.target.closest("button, summary, a") && event.key === " ";
  if (typing || event.ctrlKey || event.altKey || event.metaKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});
scale();
show();
document.documentElement.dataset.ready = "yes";
