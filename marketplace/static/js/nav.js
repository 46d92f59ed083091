// The page one is on stays in sight in a navigation row that is wider than a phone.
export function startNav() {
  const here = document.querySelector(".nav-row [aria-current]");
  if (!here) return;
  const row = here.parentElement;
  row.scrollLeft = here.offsetLeft - row.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
}
