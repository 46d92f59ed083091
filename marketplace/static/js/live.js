// A page that says where to listen is drawn again by the server when what it shows has changed. Nothing is drawn here:
// one place decides what a reader may see. Whoever is typing is not interrupted; a line says that there is news.
const POLL = 15000;

function started(element) {
  let mark = null;
  let typing = false;
  document.addEventListener("input", () => { typing = true; });

  const take = (facts) => {
    const now = JSON.stringify(facts.mark);
    if (mark === null) mark = now;
    if (now === mark) return;
    if (typing) element.hidden = false;
    else window.location.reload();
  };

  const poll = () => {
    fetch(element.dataset.live, { headers: { Accept: "application/json" }, credentials: "same-origin" })
      .then((answer) => (answer.ok ? answer.json().then(take) : null))
      .catch(() => null)
      .finally(() => window.setTimeout(poll, POLL));
  };

  if (!("EventSource" in window)) {
    poll();
    return;
  }
  const source = new EventSource(element.dataset.live);
  source.addEventListener("message", (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) poll();
  });
}

document.querySelectorAll("[data-live]").forEach(started);
