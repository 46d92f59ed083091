// The light and dark switch. theme-first.js has already set the theme; this lets the reader change it.
const KEY = "duebill-theme";
const root = document.documentElement;

function remember(theme) {
  try {
    window.localStorage.setItem(KEY, theme);
  } catch {
    // storage may be switched off; the choice then lasts for this page
  }
}

function show(theme, button) {
  root.setAttribute("data-bs-theme", theme);
  const dark = theme === "dark";
  button.setAttribute("aria-label", dark ? button.dataset.toLight : button.dataset.toDark);
  button.title = button.getAttribute("aria-label");
  for (const icon of button.querySelectorAll("[data-theme-icon]")) {
    icon.toggleAttribute("hidden", icon.dataset.themeIcon !== theme);
  }
}

export function startTheme() {
  const button = document.querySelector("[data-theme-switch]");
  if (!button) return;
  button.hidden = false;
  show(root.getAttribute("data-bs-theme") || "light", button);
  button.addEventListener("click", () => {
    const next = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    remember(next);
    show(next, button);
  });
}
