// Runs before the first paint, so that a dark page never flashes light. The only script that is not a module.
(function () {
  "use strict";
  var choice = null;
  try {
    choice = window.localStorage.getItem("duebill-theme");
  } catch (refused) {
    choice = null; // storage may be switched off; the system's preference decides then
  }
  if (choice !== "dark" && choice !== "light") {
    choice = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  document.documentElement.setAttribute("data-bs-theme", choice);
  document.documentElement.classList.add("js");
})();
