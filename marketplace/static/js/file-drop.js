// Drop a file on a .drop box and its file input takes it. The name and size are then shown; the form still posts.
function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

function prepare(box) {
  const input = box.querySelector("input[type=file]");
  if (!input) return;
  const say = () => {
    const name = box.querySelector("[data-file-name]");
    const detail = box.querySelector("[data-file-detail]");
    const files = [...input.files];
    if (files.length === 0) return;
    if (name) name.textContent = files.map((file) => file.name).join(", ");
    if (detail) detail.textContent = files.map((file) => size(file.size)).join(", ");
    box.classList.add("has-file");
    if (box.hasAttribute("data-send-at-once")) input.form?.requestSubmit();
  };
  input.addEventListener("change", say);
  box.addEventListener("dragover", (event) => {
    event.preventDefault();
    box.classList.add("over");
  });
  for (const leaving of ["dragleave", "dragend"]) {
    box.addEventListener(leaving, () => box.classList.remove("over"));
  }
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    if (!event.dataTransfer?.files.length) return;
    const taken = new DataTransfer();
    const files = [...event.dataTransfer.files];
    for (const file of input.multiple ? files : files.slice(0, 1)) taken.items.add(file);
    input.files = taken.files;
    say();
  });
}

export function startFileDrop() {
  document.querySelectorAll("[data-drop]").forEach(prepare);
}
