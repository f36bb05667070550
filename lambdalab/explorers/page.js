// Stands in for the kernel on a page of its own: answers the canvas from a table of frames, and makes its sliders.

const data = JSON.parse(document.getElementById("data").textContent);
const table = bytes(data.frames), listeners = new Set();
const state = { ...data.state, picture: bytes(data.state.picture), colours: bytes(data.state.colours) };
const sliders = {};

const model = {
  get: (name) => state[name],
  set: (name, value) => (state[name] = value),
  save_changes: answer,
  on: (_, listener) => listeners.add(listener),
  off: (_, listener) => listeners.delete(listener),
};

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Show the nearest query that has a frame; they are in the order of head, row, column.
function answer() {
  const [rows, columns] = state.grid.map((length) => Math.ceil(length / state.step));
  const row = Math.floor(state.row / state.step), column = Math.floor(state.column / state.step);
  const index = (state.head * rows + row) * columns + column;
  state.frame = table.subarray(index * data.size, (index + 1) * data.size);
  state.limits = data.limits[index];
  state.row = row * state.step;
  state.column = column * state.step;
  state.shown = [state.row, state.column];
  state.label = `${data.label}, head ${data.heads[state.head]}`;
  for (const [name, slider] of Object.entries(sliders)) {
    slider.value = state[name];
    slider.nextSibling.value = name === "head" ? data.heads[state.head] : state[name];
  }
  listeners.forEach((listener) => listener());
}

function addSlider(name, length, step) {
  const label = make("label", { textContent: `${name} ` }), slider = make("input", { type: "range", min: 0, step });
  slider.max = length - 1;
  slider.addEventListener("input", () => ((state[name] = Number(slider.value)), answer()));
  sliders[name] = slider;
  label.append(slider, make("output", {}));
  document.getElementById("controls").append(label);
}

if (data.heads.length > 1) addSlider("head", data.heads.length, 1);
addSlider("row", state.grid[0], state.step);
addSlider("column", state.grid[1], state.step);
answer();
render({ model, el: document.getElementById("canvas") });
