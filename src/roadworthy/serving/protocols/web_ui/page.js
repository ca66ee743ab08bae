// The live part of the page: polls the figures, draws models and workers, and asks for a token where the server needs one.

import { Trial } from "./try.js";

const POLL = 2000;
const $ = id => document.getElementById(id);
const TOKEN = "roadworthy-token";

let token = sessionStorage.getItem(TOKEN) ?? "";
let before = null; // the last figures, for rates
let last = 0; // when they came
let timer = 0;

function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

// An element with text and children. Every text of the server or a model is set as text, never as HTML.
function make(tag, { text, className, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const count = number => number.toLocaleString("en");
const bytes = number => `${(number / 2 ** 20).toFixed(0)} MiB`;
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

function seconds(value) {
  if (value === null) return "–";
  if (value >= 10) return "over 10 s";
  return value < 1 ? `${(value * 1000).toPrecision(value < 0.1 ? 2 : 3)} ms` : `${value.toFixed(1)} s`;
}

const trial = new Trial(authorization, make);

async function poll() {
  clearTimeout(timer);
  try {
    const answer = await fetch("/page/status", { headers: authorization(), cache: "no-store" });
    if (answer.status === 401 || answer.status === 403) return refused(answer.status);
    if (!answer.ok) throw new Error(`it answers ${answer.status}`);
    const status = await answer.json();
    last = Date.now();
    $("stale").hidden = true;
    if (token) say($("access-note"), "");
    draw(status);
    before = status;
  } catch (problem) {
    stale(problem);
  }
  if (!document.hidden) timer = setTimeout(poll, POLL);
}

function refused(status) {
  $("access").hidden = false;
  say($("access-note"), status === 403 ? "This token lacks the right inference." : token ? "The server does not know this token." : "");
  verdict("bad", "The server needs a token.");
}

function stale(problem) {
  $("stale").hidden = false;
  const since = last ? `since ${new Date(last).toLocaleTimeString()}` : "so far";
  say($("stale"), `No figures ${since}: ${problem instanceof TypeError ? "the server cannot be reached" : problem.message}.`);
  verdict("bad", "The server does not answer.");
}

function verdict(kind, text) {
  $("verdict").className = `verdict ${kind}`;
  say($("verdict"), text);
}

function draw(status) {
  say($("version"), status.version);
  const versions = status.models.flatMap(model => model.versions);
  const failed = versions.filter(version => version.state === "failed").length;
  const words = [`${plural(status.models.length, "model")}`, `${plural(status.workers.length, "worker")}`];
  if (failed) words.push(`${plural(failed, "version")} failed`);
  if (status.draining) verdict("bad", "Shutting down: accepted requests are answered, new ones are not.");
  else verdict(status.ready ? "good" : "bad", `${status.ready ? "Ready" : "Not ready"}: ${words.join(", ")}.`);
  drawModels(status);
  drawWorkers(status);
  trial.know(status);
}

// Elements stay and change their text, so that focus, selection and the position of a screen reader are kept.
function keep(parent, keyed, create) {
  const known = new Map([...parent.children].map(child => [child.dataset.key, child]));
  const pairs = keyed.map(([key, value], index) => {
    const child = known.get(key) ?? create(value);
    child.dataset.key = key;
    known.delete(key);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
    return [child, value];
  });
  known.forEach(child => child.remove());
  return pairs;
}

function drawModels(status) {
  const holder = $("models");
  $("none").hidden = status.models.length > 0;
  for (const [card, model] of keep(holder, status.models.map(model => [model.name, model]), modelCard)) fillModel(card, model, status);
}

const FIGURES = ["Requests", "Per second", "Errors", "p50", "p99", "Waiting", "Running"];
const COLUMNS = ["Version", "State", "Role", "Answered", "Failed", "Refused", "Late", "Gone", "Waiting", "Instances"];

function modelCard(model) {
  const figures = make("dl", { className: "figures" },
    ...FIGURES.map(name => make("div", {}, make("dt", { text: name }), make("dd", { text: "–" }))));
  const head = make("tr", {}, ...COLUMNS.map(text => make("th", { text, scope: "col" })));
  const table = make("table", {}, make("thead", {}, head), make("tbody"));
  return make("article", { className: "model" },
    make("h3", { text: model.name }), figures, make("p", { className: "soft codes" }), make("div", { className: "reasons" }),
    make("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": `Versions of ${model.name}` }, table));
}

function fillModel(card, model, status) {
  const sum = name => model.versions.reduce((total, version) => total + version[name], 0);
  const values = [count(model.requests), rate(model, status), count(model.errors), seconds(model.p50), seconds(model.p99), count(sum("waiting")), count(sum("running"))];
  card.querySelectorAll("dd").forEach((cell, index) => say(cell, values[index]));
  card.querySelectorAll("dd")[2].classList.toggle("bad", model.errors > 0);
  const codes = Object.entries(model.answered).sort().map(([code, number]) => `${code}: ${count(number)}`);
  say(card.querySelector(".codes"), codes.length ? `By code: ${codes.join(", ")}` : "No requests yet.");
  const reasons = model.versions.filter(version => version.reason).map(version => [version.version, version]);
  for (const [line, version] of keep(card.querySelector(".reasons"), reasons, () => make("p", { className: "reason" }))) {
    say(line, `Version ${version.version} ${version.state === "failed" ? "failed" : `is ${version.state}`} (${clock(version.since)}): ${version.reason}`);
  }
  const rows = [...model.versions].reverse().map(version => [version.version, version]);
  for (const [row, version] of keep(card.querySelector("tbody"), rows, versionRow)) fillVersion(row, version, model);
}

function clock(since) {
  return since ? new Date(since * 1000).toLocaleString() : "unknown when";
}

function rate(model, status) {
  const earlier = before?.models.find(one => one.name === model.name);
  if (!earlier || status.time <= before.time) return "–";
  const each = (model.requests - earlier.requests) / (status.time - before.time);
  return each < 0 ? "–" : each < 10 ? each.toFixed(1) : count(Math.round(each));
}

function versionRow(version) {
  return make("tr", {}, make("th", { text: version.version, scope: "row" }), make("td", {}, make("span", { className: "badge" })),
    ...COLUMNS.slice(2).map(() => make("td")));
}

function fillVersion(row, version, model) {
  const badge = row.querySelector(".badge");
  badge.className = `badge ${version.state}`;
  badge.title = `since ${clock(version.since)}`;
  say(badge, version.state);
  const values = [roles(version, model), version.succeeded, version.failed, version.refused, version.expired, version.cancelled, version.waiting]
    .map(value => typeof value === "number" ? count(value) : value);
  const size = `${version.instances} × ${plural(version.threads, "thread")}${version.batch > 1 ? `, up to ${version.batch} a call` : ""}`;
  [...row.children].slice(2).forEach((cell, index) => say(cell, [...values, size][index]));
}

function roles(version, model) {
  const found = [];
  if (model.current === version.version) found.push(model.default === version.version ? "default (set)" : "default");
  for (const [label, of] of Object.entries(model.labels)) if (of === version.version) found.push(`label ${label}`);
  if (model.canary?.version === version.version) found.push(`canary, ${+(model.canary.share * 100).toPrecision(3)} %`);
  if (model.shadow === version.version) {
    const { count: compared, different, error } = version.mirrored;
    found.push(`shadow: ${count(different)} of ${count(compared)} differ, at most by ${error.toPrecision(2)}`);
  }
  return found.join(", ") || "–";
}

function drawWorkers(status) {
  const rows = status.workers.map(worker => [String(worker.pid), worker]);
  for (const [row, worker] of keep($("workers"), rows, () => make("tr", {}, make("th", { scope: "row" }), ...Array.from({ length: 5 }, () => make("td"))))) {
    const values = [worker.pid, bytes(worker.memory), `${worker.cpu.toFixed(1)} s`, worker.threads, worker.descriptors, worker.connections];
    [...row.children].forEach((cell, index) => say(cell, String(values[index])));
  }
  const memory = status.workers.reduce((sum, worker) => sum + worker.memory, 0);
  say($("restarts"), `${bytes(memory)} together; ${plural(status.restarts, "worker")} replaced so far.`);
}

$("access").addEventListener("submit", event => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  sessionStorage.setItem(TOKEN, token);
  poll();
});
document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : poll());
poll();
