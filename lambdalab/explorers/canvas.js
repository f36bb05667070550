// The picture, three maps of signed weights and three matrices on one canvas. The kernel sends numbers; colours, the
// marked query and the numbers under the pointer are made here. Arrow keys, a click or a drag move the query.

const SIDE = 168, GAP = 16, TITLE = 20, MATRIX = 96, SMALLEST = 8; // pixels of the page
const WIDTH = 4 * SIDE + 3 * GAP, HEIGHT = 2 * TITLE + SIDE + GAP + MATRIX;
const WIDE = { width: SIDE, height: MATRIX };
const FULL = 32767; // what the kernel sends for a value at the scale's end
const PARTS = ["content", "position", "total"];
const KEYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const HELP = "The weights of one query on its context. Arrow keys move the query, a click or a drag sets it.";

export default { render };

function render({ model, el }) {
  const canvas = make("canvas", { tabIndex: 0 }), status = make("div", {});
  canvas.style.cssText = "max-width: 100%; outline-offset: 4px; touch-action: none; cursor: crosshair";
  canvas.style.width = `${WIDTH}px`;
  canvas.setAttribute("role", "application");
  status.setAttribute("aria-live", "polite");
  status.style.cssText = "font-variant-numeric: tabular-nums; min-height: 1.5em; max-width: 60em";
  const own = make("input", { type: "checkbox" }), label = make("label", {});
  label.append(own, " each map and matrix on a scale of its own");
  el.append(canvas, status, label);

  let pointer = null, waiting = false, drawn = 0;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const panels = layOut(model);
      own.checked = model.get("own");
      draw(canvas, panels, model, pointer, getComputedStyle(el).color);
      status.textContent = describe(panels, model, pointer);
      canvas.setAttribute("aria-label", `${model.get("label")}. ${HELP}`);
      canvas.dataset.shown = [model.get("label"), ...model.get("shown")].join(" ");
      canvas.dataset.drawn = ++drawn; // for whoever waits for a new picture
    });
  };
  const move = (row, column) => {
    const [rows, columns] = model.get("grid");
    model.set("row", Math.min(Math.max(row, 0), rows - 1));
    model.set("column", Math.min(Math.max(column, 0), columns - 1));
    model.save_changes();
  };
  canvas.addEventListener("keydown", (event) => {
    if (!KEYS[event.key]) return;
    event.stopPropagation();
    event.preventDefault();
    const [down, right] = KEYS[event.key], step = model.get("step");
    move(model.get("row") + step * down, model.get("column") + step * right);
  });
  const point = (event) => {
    pointer = find(layOut(model), event, canvas);
    if (event.buttons && pointer?.panel.map) move(pointer.row, pointer.column);
    redraw();
  };
  canvas.addEventListener("pointerdown", (event) => (canvas.focus({ preventScroll: true }), point(event)));
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerleave", () => ((pointer = null), redraw()));
  own.addEventListener("change", () => (model.set("own", own.checked), model.save_changes(), redraw()));
  model.on("change", redraw);
  redraw();
  return () => model.off("change", redraw);
}

// What is shown where: the picture, then content, position and total of the weights and of λ, with their numbers.
function layOut(model) {
  const [rows, columns] = model.get("grid"), [depth, width] = model.get("depths");
  const [ofMaps, ofMatrices] = model.get("limits");
  const numbers = new Int16Array(copy(model.get("frame"))), below = 2 * TITLE + SIDE + GAP;
  const maps = { name: "", map: true, limit: ofMaps, rows, columns, top: TITLE, ...fit(rows, columns) };
  const matrices = { name: "λ ", limit: ofMatrices, rows: depth, columns: width, top: below, ...WIDE };
  const picture = { ...maps, title: "picture", left: 0, ...fit(...model.get("picture_size")) };
  let start = 0;
  return [picture].concat(...[maps, matrices].map((group) => {
    const size = group.rows * group.columns;
    const content = numbers.subarray(start, start + size), position = numbers.subarray(start + size, start + 2 * size);
    const total = Int32Array.from(content, (each, index) => each + position[index]);
    start += 2 * size;
    return [content, position, total].map((values, index) => (
      { ...group, values, title: group.name + PARTS[index], left: (index + 1) * (SIDE + GAP) }
    ));
  }));
}

function fit(rows, columns) {
  const scale = SIDE / Math.max(rows, columns);
  return { width: columns * scale, height: rows * scale };
}

function draw(canvas, panels, model, pointer, ink) {
  const ratio = window.devicePixelRatio || 1, context = canvas.getContext("2d"), own = model.get("own");
  canvas.width = WIDTH * ratio; // also clears it
  canvas.height = HEIGHT * ratio;
  context.scale(ratio, ratio);
  context.imageSmoothingEnabled = false;
  context.font = "13px sans-serif";
  const colours = new Uint8Array(copy(model.get("colours")));
  for (const panel of panels) {
    const { values, left, top } = panel;
    let title = panel.title, image;
    if (values) {
      const end = own ? values.reduce((most, each) => Math.max(most, Math.abs(each)), 1) : FULL;
      if (own) title += ` ±${((end / FULL) * panel.limit).toPrecision(2)}`;
      image = bitmap(paint(values, colours, end), panel.rows, panel.columns);
    } else {
      image = bitmap(opaque(new Uint8Array(copy(model.get("picture")))), ...model.get("picture_size"));
    }
    context.fillStyle = ink;
    context.fillText(title, left, top - 6);
    context.drawImage(image, left, top, panel.width, panel.height);
    if (panel.map) mark(context, panel, ...model.get("shown"), 2);
    if (pointer && pointer.panel.map === panel.map) mark(context, panel, pointer.row, pointer.column, 1);
  }
  if (!own) drawScales(context, colours, model.get("limits"), ink);
}

// Colour bars below the picture: what is red, what is blue, and where the scale ends.
function drawScales(context, colours, limits, ink) {
  const ramp = Int16Array.from({ length: 256 }, (_, index) => (index / 127.5 - 1) * FULL);
  const bar = bitmap(paint(ramp, colours, FULL), 1, 256);
  ["weights", "λ"].forEach((name, index) => {
    const top = 2 * TITLE + SIDE + GAP + index * 50, end = signed(limits[index]);
    context.drawImage(bar, 0, top, SIDE, 12);
    context.fillStyle = ink;
    context.fillText(name, 0, top - 6);
    context.fillText(signed(-limits[index]), 0, top + 26);
    context.fillText("0", SIDE / 2 - 3, top + 26);
    context.fillText(end, SIDE - context.measureText(end).width, top + 26);
  });
}

function mark(context, panel, row, column, width) {
  const [high, wide] = [panel.height / panel.rows, panel.width / panel.columns];
  const y = panel.top + (row + 0.5) * high, x = panel.left + (column + 0.5) * wide;
  const halfHigh = Math.max(high, SMALLEST) / 2, halfWide = Math.max(wide, SMALLEST) / 2;
  for (const [colour, extra] of [["white", 2], ["black", 0]]) {
    context.strokeStyle = colour;
    context.lineWidth = width + extra;
    context.strokeRect(x - halfWide, y - halfHigh, 2 * halfWide, 2 * halfHigh);
  }
}

// Which cell of which panel an event points at.
function find(panels, event, canvas) {
  const box = canvas.getBoundingClientRect(), scale = WIDTH / box.width;
  const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
  for (const panel of panels) {
    const row = Math.floor(((y - panel.top) / panel.height) * panel.rows);
    const column = Math.floor(((x - panel.left) / panel.width) * panel.columns);
    if (row >= 0 && row < panel.rows && column >= 0 && column < panel.columns) return { panel, row, column };
  }
  return null;
}

function describe(panels, model, pointer) {
  const [row, column] = model.get("shown"), map = !pointer || pointer.panel.map;
  const at = pointer ?? { row, column }, three = map ? panels.slice(1, 4) : panels.slice(4);
  const numbers = three.map(({ title, values, columns, limit }) => (
    `${title} ${signed((values[at.row * columns + at.column] / FULL) * limit)}`
  ));
  const place = map ? `weights on row ${at.row}, column ${at.column}` : `k = ${at.row}, v = ${at.column}`;
  return `query at row ${row}, column ${column} · ${place}: ${numbers.join(", ")}`;
}

function signed(number) {
  return number === 0 ? "0" : (number > 0 ? "+" : "−") + Math.abs(number).toPrecision(3);
}

function paint(values, colours, end) {
  const pixels = new Uint8ClampedArray(4 * values.length).fill(255);
  values.forEach((value, index) => {
    const colour = 3 * Math.round(Math.min(Math.max(value / end, -1), 1) * 127.5 + 127.5);
    for (let channel = 0; channel < 3; channel++) pixels[4 * index + channel] = colours[colour + channel];
  });
  return pixels;
}

function opaque(bytes) {
  const pixels = new Uint8ClampedArray((4 * bytes.length) / 3).fill(255);
  bytes.forEach((byte, index) => (pixels[index + Math.floor(index / 3)] = byte));
  return pixels;
}

function bitmap(pixels, rows, columns) {
  const canvas = make("canvas", { width: columns, height: rows });
  canvas.getContext("2d").putImageData(new ImageData(pixels, columns, rows), 0, 0);
  return canvas;
}

// The kernel's bytes arrive as a view into a larger message.
function copy(view) {
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}
