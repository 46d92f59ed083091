// <button data-fill='{"email": "…"}' data-fill-form="sign-in">: writes values into a form's fields and moves there.
export function startFill() {
  for (const button of document.querySelectorAll("[data-fill]")) {
    button.addEventListener("click", (event) => {
      const form = document.getElementById(button.dataset.fillForm);
      if (!form) return;
      event.preventDefault();
      for (const [name, value] of Object.entries(JSON.parse(button.dataset.fill))) {
        const input = form.elements.namedItem(name);
        if (input) input.value = value;
      }
      form.querySelector("[type=submit]")?.focus();
      form.scrollIntoView({ block: "nearest" });
    });
  }
}
