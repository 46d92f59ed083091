// On a debtor's slip, show the fields that belong to the chosen answer. Without this all of them are shown.
const form = document.querySelector("[data-answer]");

function show(part, visible) {
  part.hidden = !visible;
  for (const control of part.querySelectorAll("input, select, textarea")) control.disabled = !visible;
}

function refresh() {
  const answer = form.querySelector("[name=answer]:checked")?.value;
  const noticed = form.querySelector("[name=prior_notice]:checked")?.value === "yes";
  const shown = (part) => part.dataset.when.split(" ").includes(answer);
  for (const part of form.querySelectorAll("fieldset[data-when]")) show(part, shown(part));
  for (const part of form.querySelectorAll("div[data-when]")) if (answer) show(part, shown(part));
  for (const part of form.querySelectorAll("[data-when-notice]")) show(part, answer === "yes" && noticed);
}

if (form) {
  form.addEventListener("change", refresh);
  refresh();
}
