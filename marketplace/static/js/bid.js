// Echoes what is typed into a bid: the rate in per cent, the hold, and what stays free. Without it the server's
// figures stand until the form is sent. Whole minor units throughout.
const address = new URL(window.location.href);
if (address.searchParams.has("bid")) {
  address.searchParams.delete("bid"); // said once: the page may come again before the lot closes
  window.history.replaceState(null, "", address);
}

function minorOf(text, digits) {
  const found = /^(\d{1,3}(?:[, ]?\d{3})*|\d+)(?:\.(\d*))?$/.exec(text.trim());
  if (!found || (found[2] || "").length > digits) return null;
  return Number(found[1].replace(/\D/g, "") + (found[2] || "").padEnd(digits, "0"));
}

function written(minor, digits, symbol) {
  const sign = minor < 0 ? "−" : "";
  const text = String(Math.abs(minor)).padStart(digits + 1, "0");
  const whole = text.slice(0, text.length - digits).replace(/\B(?=(\d{3})+$)/g, ",");
  return [`${sign}${symbol}${whole}`, digits ? `.${text.slice(-digits)}` : ""];
}

function show(element, minor, digits, symbol) {
  const [whole, rest] = written(minor, digits, symbol);
  const dec = document.createElement("span");
  dec.className = "dec";
  dec.textContent = rest;
  const all = document.createElement("span");
  all.className = "nw";
  all.append(whole, dec);
  element.replaceChildren(all);
}

for (const form of document.querySelectorAll("[data-bid]")) {
  const digits = Number(form.dataset.digits);
  const symbol = form.dataset.symbol;
  const free = Number(form.dataset.free) + Number(form.dataset.freed);
  const rate = form.elements.namedItem("rate");
  const echo = form.querySelector(".form-text");
  const words = echo?.textContent.replace(/^[\d.]+%; /, "") ?? "";
  rate.addEventListener("input", () => {
    const bps = /^\d{1,4}$/.exec(rate.value.trim());
    echo.textContent = bps ? `${(Number(bps[0]) / 100).toFixed(2)}%; ${words}` : words;
  });
  const held = form.querySelector("[data-hold]");
  if (held) form.elements.namedItem("cash").addEventListener("input", (event) => {
    const hold = minorOf(event.target.value, digits);
    if (hold === null || !Number.isSafeInteger(hold)) return;
    show(held, -hold, digits, symbol);
    const after = form.querySelector("[data-after]");
    show(after, free - hold, digits, symbol);
    after.classList.toggle("neg", free < hold);
  });
}
