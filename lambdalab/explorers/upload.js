// Takes a picture file to the kernel. One too large for a message is shrunk in the browser first: Jupyter's server
// closes the connection at 10 MB, without a word.

const MOST_BYTES = 8_000_000, SIDE = 1024;

export default { render };

function render({ model, el }) {
  const input = Object.assign(document.createElement("input"), { type: "file", accept: "image/*" });
  const label = document.createElement("label");
  label.append("your own picture ", input);
  label.style.cssText = "margin: 0 2em; font-size: 13px; line-height: 28px";
  el.append(label);
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    const content = file.size > MOST_BYTES ? await shrink(file) : file;
    model.send({ name: file.name, size: file.size }, undefined, content ? [await content.arrayBuffer()] : []);
    input.value = ""; // so that the same file can be chosen again
  });
}

// A PNG of at most SIDE×SIDE pixels, or nothing where the browser cannot read the file.
async function shrink(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/png" });
}
