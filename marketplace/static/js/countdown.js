// Deadlines are the server's. The page carries the server's instant; the difference to this machine's clock is
// taken once, so a wrong clock here never shows a wrong time left. Without this script the server's text stands.
const SOON = 15 * 60;
const NOW = 60;

let offset = 0;

export function serverNow() {
  return Date.now() + offset;
}

export function timeLeft(seconds, dayWord) {
  if (seconds >= 48 * 3600) return `${Math.floor(seconds / 86400)} ${dayWord}`;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = String(seconds % 60).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

function tick(element) {
  const closes = Date.parse(element.dataset.closesAt);
  if (Number.isNaN(closes)) return;
  const seconds = Math.max(0, Math.ceil((closes - serverNow()) / 1000));
  element.textContent = seconds === 0 ? element.dataset.closedWord || "0:00" : timeLeft(seconds, element.dataset.dayWord || "d");
  element.classList.toggle("soon", seconds < SOON && seconds >= NOW);
  element.classList.toggle("now", seconds < NOW);
  if (seconds === 0 && !element.dataset.done) {
    element.dataset.done = "yes";
    element.dispatchEvent(new CustomEvent("duebill:closed", { bubbles: true }));
  }
}

function tickClock(element) {
  const zone = element.dataset.zone || "UTC";
  const text = new Intl.DateTimeFormat(document.documentElement.lang || "en-GB", {
    hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: zone,
  }).format(new Date(serverNow()));
  element.textContent = `${text} ${element.dataset.zoneName || ""}`.trim();
}

export function startCountdowns() {
  const said = Date.parse(document.body.dataset.serverNow || "");
  if (!Number.isNaN(said)) {
    const entry = performance.getEntriesByType("navigation")[0];
    const received = entry ? performance.timeOrigin + entry.responseStart : Date.now();
    offset = said - received;
  }
  const counts = document.querySelectorAll("[data-closes-at]");
  const clocks = document.querySelectorAll("[data-server-clock]");
  if (counts.length === 0 && clocks.length === 0) return;
  const all = () => {
    counts.forEach(tick);
    clocks.forEach(tickClock);
  };
  all();
  window.setInterval(all, 1000);
}
