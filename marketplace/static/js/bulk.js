// Send many files in pieces: announce them by their hashes, send what is missing, go on after a broken line.
// Without a script, or without a safe context to hash in, the form posts as it is.
const TOGETHER = 8 * 1024 * 1024; // bytes of one request
const TRIES = 6;

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

class Refused extends Error {}

async function hash(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A dropped folder is walked; its files keep their path as their name.
async function walk(entry, path, found) {
  if (entry.isFile) {
    const file = await new Promise((take, refuse) => entry.file(take, refuse));
    found.push({ file, name: path + file.name });
  } else if (entry.isDirectory) {
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((take, refuse) => reader.readEntries(take, refuse));
      if (some.length === 0) break;
      for (const one of some) await walk(one, `${path}${entry.name}/`, found);
    }
  }
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ file, name: file.name }));
  const found = [];
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

class Sender {
  constructor(form) {
    this.form = form;
    this.box = form.querySelector("[data-send]");
    this.bar = this.box.querySelector("progress");
    this.input = form.querySelector("input[type=file]");
    this.size = Number(this.box.dataset.pieceBytes);
    this.files = [];
    this.busy = false;
  }

  say(what, how = "") {
    this.box.hidden = false;
    this.box.querySelector("[data-send-what]").textContent = what;
    this.box.querySelector("[data-send-how]").textContent = how;
  }

  show(done, all) {
    this.bar.max = Math.max(all, 1);
    this.bar.value = done;
  }

  take(files) {
    this.files = files;
    const name = this.form.querySelector("[data-file-name]");
    const shown = files.slice(0, 3).map((one) => one.file.name).join(", ");
    if (files.length) name.textContent = shown + (files.length > 3 ? ` + ${files.length - 3}` : "");
  }

  // Return the manifest, and where in which file each piece lies.
  async announce() {
    const places = new Map();
    const manifest = [];
    let read = 0;
    const all = this.files.reduce((sum, one) => sum + one.file.size, 0);
    for (const { file, name } of this.files) {
      const pieces = [];
      for (let at = 0; at < file.size; at += this.size) {
        const blob = file.slice(at, at + this.size);
        const key = await hash(await blob.arrayBuffer());
        pieces.push(key);
        places.set(key, blob);
        read += blob.size;
        this.show(read, all);
      }
      manifest.push({ name, size: file.size, pieces });
    }
    return { manifest, places };
  }

  terms() {
    const given = {};
    for (const [name, value] of new FormData(this.form)) {
      if (typeof value === "string" && name !== "csrf_token") given[name] = value;
    }
    return given;
  }

  // Ask until there is an answer; a broken line or a busy server is waited out, a refusal is not.
  async ask(address, body, headers = {}) {
    for (let attempt = 1; ; attempt += 1) {
      let wait = Math.min(2 ** attempt, 20);
      try {
        const token = this.form.querySelector("input[name=csrf_token]").value;
        const answer = await fetch(address, { method: "POST", body, headers: { ...headers, "X-CSRFToken": token } });
        if (answer.ok && !answer.redirected) return await answer.json();
        if (answer.status === 429) wait = Number(answer.headers.get("Retry-After")) || wait;
        else if (answer.status < 500) throw new Refused(await this.words(answer));
      } catch (fault) {
        if (fault instanceof Refused) throw fault;
      }
      if (attempt === TRIES) throw new Error("no answer");
      this.say(this.box.dataset.again);
      await pause(wait);
    }
  }

  async words(answer) {
    try {
      return (await answer.json()).problems.map((one) => one.words).join(" ");
    } catch {
      return `${this.box.dataset.stopped} (${answer.status})`;
    }
  }

  async send() {
    const words = this.box.dataset;
    this.say(words.reading);
    const { manifest, places } = await this.announce();
    const json = { "Content-Type": "application/json" };
    const begun = await this.ask(words.begin, JSON.stringify({ files: manifest, terms: this.terms() }), json);
    const title = begun.resumed ? words.resumed : words.sending;
    const missing = begun.missing.filter((key) => places.has(key));
    const all = missing.reduce((sum, key) => sum + places.get(key).size, 0);
    let sent = 0;
    for (let at = 0; at < missing.length; ) {
      const body = new FormData();
      let bytes = 0;
      for (; at < missing.length && (bytes === 0 || bytes + places.get(missing[at]).size <= TOGETHER); at += 1) {
        body.append("piece", places.get(missing[at]), "piece");
        bytes += places.get(missing[at]).size;
      }
      this.say(title, `${(sent / 1e6).toFixed(1)} / ${(all / 1e6).toFixed(1)} MB`);
      this.show(sent, all);
      await this.ask(begun.pieces, body);
      sent += bytes;
    }
    this.show(all, all);
    try {
      await this.ask(begun.seal, "");
    } catch (fault) {
      if (!(fault instanceof Refused)) throw fault; // sealed before, by an answer that was lost: the page tells
    }
    location.assign(begun.address);
  }

  async start() {
    if (this.busy) return;
    const words = this.box.dataset;
    if (this.files.length === 0) return this.say(words.none);
    if (this.files.reduce((sum, one) => sum + one.file.size, 0) > Number(words.bytesMax)) return this.say(words.large);
    this.busy = true;
    addEventListener("beforeunload", this.warn);
    try {
      await this.send();
    } catch (fault) {
      this.say(fault instanceof Refused ? fault.message : words.stopped);
    } finally {
      removeEventListener("beforeunload", this.warn);
      this.busy = false;
    }
  }

  warn(event) {
    event.preventDefault();
  }
}

function startSending(form) {
  if (!globalThis.crypto?.subtle) return;
  const sender = new Sender(form);
  const box = form.querySelector("[data-drop]");
  sender.input.addEventListener("change", () => {
    sender.take([...sender.input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
  });
  // Before the general listener, which knows no folders.
  box.addEventListener("drop", async (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    box.classList.remove("over");
    sender.take(await dropped(event.dataTransfer));
  }, { capture: true });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sender.start();
  });
}

// A moving upload shows how far it is; when it stands still the page is read anew.
async function follow() {
  for (;;) {
    const part = document.querySelector("[data-bulk-progress]");
    if (!part || part.dataset.moving !== "yes") return;
    await pause(document.hidden ? 5 : 1.5);
    try {
      const answer = await fetch(part.dataset.bulkProgress);
      if (answer.redirected) return location.reload();
      if (!answer.ok) continue;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = fresh.querySelector("[data-bulk-progress]");
      if (!next) continue;
      if (next.dataset.moving !== "yes") return location.reload();
      part.replaceWith(document.importNode(next, true));
    } catch {
      await pause(3);
    }
  }
}

document.querySelectorAll("[data-bulk-form]").forEach(startSending);
follow();
