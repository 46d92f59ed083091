// <button data-copy="text" data-copied="Copied">: puts the text on the clipboard and says so. Hidden without script.
export function startCopy() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    const words = button.querySelector("[data-words]") || button;
    const before = words.textContent;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
      } catch {
        return; // the browser refused; the text is on the page to be selected
      }
      words.textContent = button.dataset.copied || before;
      window.setTimeout(() => { words.textContent = before; }, 1600);
    });
  }
}
