// Trying a model: a file dropped, chosen or pasted, or a request in JSON; the answer as bars or as JSON.

import { snippets } from "./snippets.js";

const $ = id => document.getElementById(id);
const ITEMS = {
  image: {
    accept: "image/jpeg,image/png,image/webp,image/bmp,image/gif,image/tiff", words: "an image (JPEG, PNG, WebP, BMP, GIF, TIFF)", type: "image/jpeg",
  },
  audio: { accept: "audio/wav,.wav", words: "a sound (wav)", type: "audio/wav" },
};
const LONGEST = 4096; // values of an example request that a person may still want to edit

export class Trial {
  constructor(authorization, make) {
    this.authorization = authorization;
    this.make = make;
    this.models = [];
    this.shown = ""; // what the form was last laid out for
    this.asked = 0;
    this.tab = 0;
    $("model").addEventListener("change", () => this.lay());
    $("model-version").addEventListener("change", () => this.lay());
    $("file").addEventListener("change", () => this.send($("file").files[0]));
    $("ask").addEventListener("submit", event => (event.preventDefault(), this.sendJson()));
    $("write").addEventListener("submit", event => (event.preventDefault(), this.ask("text/plain; charset=utf-8", $("text").value, false)));
    $("copy").addEventListener("click", () => this.copy());
    $("tabs").addEventListener("keydown", event => this.step(event));
    this.listen();
  }

  get model() {
    return this.models.find(model => model.name === $("model").value);
  }

  // The new figures: the form changes only where the chosen model has changed.
  know(status) {
    this.models = status.models.filter(model => model.takes);
    this.grpc = status.grpc;
    this.options($("model"), this.models.map(model => [model.name, model.name]));
    this.lay();
  }

  options(select, pairs) {
    const wanted = JSON.stringify(pairs);
    if (select.dataset.holds === wanted) return;
    const chosen = select.value;
    select.replaceChildren(...pairs.map(([value, text]) => this.make("option", { value, text })));
    select.dataset.holds = wanted;
    if (pairs.some(([value]) => value === chosen)) select.value = chosen;
  }

  lay() {
    const model = this.model;
    const ready = (model?.versions ?? []).filter(version => version.state === "ready").map(version => [version.version, version.version]);
    this.options($("model-version"), [["", "whichever answers"], ...ready.reverse()]);
    const takes = model && JSON.stringify([model.name, model.takes]);
    if (takes !== this.shown) {
      this.shown = takes;
      const item = ITEMS[model?.takes.kind], text = model?.takes.kind === "text";
      const files = Boolean(model && (item || model.takes.files));
      $("drop").hidden = !files;
      $("write").hidden = !text;
      $("ask").hidden = !model || files || text;
      $("file").accept = item?.accept ?? "";
      $("drop-words").textContent = `Drop ${item?.words ?? "a file"} here, paste one, or`;
      const steps = model?.takes.steps.length ? `The server prepares it: ${model.takes.steps.join("; ")}.` : "";
      $("drop-steps").textContent = $("write-steps").textContent = steps;
      if (model && !files && !text) $("request").value = example(model.takes.inputs);
      this.clear(model ? "Nothing sent yet." : "No model answers yet.");
    }
    this.drawSnippets();
  }

  clear(words) {
    $("said").textContent = words;
    $("ranking").replaceChildren();
    $("outputs").hidden = true;
    $("preview").hidden = true;
  }

  listen() {
    const drop = $("drop");
    const holds = event => [...(event.dataTransfer?.types ?? [])].includes("Files");
    // Anywhere on the page: the browser would open a file that is dropped beside the box.
    document.addEventListener("dragover", event => {
      if (!holds(event)) return;
      event.preventDefault();
      drop.classList.add("over");
    });
    document.addEventListener("dragleave", event => { if (!event.relatedTarget) drop.classList.remove("over"); });
    document.addEventListener("drop", event => {
      if (!holds(event)) return;
      event.preventDefault();
      drop.classList.remove("over");
      this.send(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", event => {
      const file = event.clipboardData?.files[0];
      if (file) this.send(file);
    });
  }

  path() {
    const version = $("model-version").value;
    return `/v2/models/${encodeURIComponent(this.model.name)}${version ? `/versions/${encodeURIComponent(version)}` : ""}/infer`;
  }

  send(file) {
    if (!file || !this.model || $("drop").hidden) return;
    const kind = this.model.takes.kind, images = kind === "image";
    if (images) {
      if (this.url) URL.revokeObjectURL(this.url);
      this.url = URL.createObjectURL(file);
      $("preview").src = this.url;
    }
    // The browser derives the type from the file's name. The server reads the content and needs only "image" or "audio".
    const type = kind ? (file.type.startsWith(`${kind}/`) ? file.type : ITEMS[kind].type) : "application/octet-stream";
    this.ask(type, file, images);
  }

  sendJson() {
    this.ask("application/json", $("request").value, false);
  }

  async ask(type, body, preview) {
    const number = ++this.asked;
    this.clear("Asking…");
    $("preview").hidden = !preview;
    const begun = performance.now();
    try {
      const answer = await fetch(this.path(), { method: "POST", headers: { "Content-Type": type, ...this.authorization() }, body });
      const text = await answer.text();
      if (number === this.asked) this.show(answer.status, text, performance.now() - begun);
    } catch {
      if (number === this.asked) $("said").textContent = "The server cannot be reached.";
    }
    $("file").value = "";
  }

  show(status, text, milliseconds) {
    let answer = {};
    try {
      answer = JSON.parse(text);
    } catch {
      answer = { error: text || "an empty answer" };
    }
    if (status !== 200) {
      $("said").textContent = `${status}: ${answer.error ?? text}`;
      return;
    }
    $("said").textContent = `Version ${answer.model_version} answered in ${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms, the network included.`;
    const outputs = Object.fromEntries(answer.outputs.map(output => [output.name, output]));
    const scores = outputs.probability ?? outputs.score;
    if (outputs.label && scores) this.bars(outputs.label, scores, Boolean(outputs.probability));
    else {
      $("outputs").hidden = false;
      $("outputs").textContent = JSON.stringify(answer, null, 1).replace(/\[\s+([^[\]{}]*?)\s+\]/g, (_, inside) => `[${inside.replace(/\s*\n\s*/g, " ")}]`);
    }
  }

  // The first sample's classes.
  bars(labels, scores, shares) {
    const columns = labels.shape[1];
    const values = scores.data.flat().slice(0, columns);
    const most = Math.max(...values.map(value => Math.abs(value ?? 0)), Number.MIN_VALUE);
    $("ranking").replaceChildren(...labels.data.flat().slice(0, columns).map((label, index) => {
      const value = values[index];
      const words = value === null ? "not finite" : shares ? `${(value * 100).toFixed(1)} %` : value.toPrecision(4);
      const bar = this.make("i");
      bar.style.width = `${Math.max(0, (value ?? 0) / (shares ? 1 : most)) * 100}%`;
      return this.make("li", {}, this.make("span", { text: label, className: "label" }), this.make("span", { text: words, className: "share" }),
        this.make("span", { className: "bar", "aria-hidden": "true" }, bar));
    }));
  }

  // The same request for other clients

  drawSnippets() {
    const model = this.model;
    const all = model ? snippets({
      origin: location.origin, host: location.hostname, secure: location.protocol === "https:", grpc: this.grpc,
      token: Boolean(this.authorization().Authorization), model, version: $("model-version").value, example: example(model.takes.inputs),
    }) : [];
    const names = JSON.stringify(all.map(([name]) => name));
    if ($("tabs").dataset.holds !== names) {
      $("tabs").dataset.holds = names;
      $("tabs").replaceChildren(...all.map(([name], index) => {
        const tab = this.make("button", { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": "snippet-panel", text: name });
        tab.addEventListener("click", () => this.choose(index));
        return tab;
      }));
    }
    this.tab = Math.min(this.tab, Math.max(0, all.length - 1));
    [...$("tabs").children].forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === this.tab));
      tab.tabIndex = index === this.tab ? 0 : -1;
    });
    $("snippet-panel").hidden = !all.length;
    $("snippet-panel").setAttribute("aria-labelledby", `tab-${this.tab}`);
    const text = all[this.tab]?.[1] ?? "";
    if ($("snippet").textContent !== text) $("snippet").textContent = text;
  }

  choose(index) {
    this.tab = index;
    this.drawSnippets();
    $("tabs").children[index].focus();
  }

  step(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tabs = $("tabs").children.length;
    if (by && tabs) this.choose((this.tab + by + tabs) % tabs);
  }

  async copy() {
    try {
      await navigator.clipboard.writeText($("snippet").textContent);
      $("copy").textContent = "Copied";
    } catch {
      getSelection().selectAllChildren($("snippet"));
      $("copy").textContent = "Selected";
    }
    setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
  }
}

// A request of zeros that fits: one of everything whose size is free.
export function example(inputs) {
  const filled = inputs.map(({ name, datatype, shape }) => {
    const sizes = shape.map(size => Math.max(size, 1));
    const values = sizes.reduce((product, size) => product * size, 1);
    const value = { BYTES: "text", BOOL: false }[datatype] ?? 0;
    return { name, datatype, shape: sizes, data: values > LONGEST ? [`${values} values`] : Array(values).fill(value) };
  });
  const lines = filled.map(input => `  ${JSON.stringify(input)}`);
  return `{"inputs": [\n${lines.join(",\n")}\n]}`;
}
