// A WebSocket client one can watch. It talks to the server that the page came from, and to nothing else.

import { bytes, clock, codeNames } from "./words.js";

const $ = (id) => document.getElementById(id);

const greetings = {
  "/echo": "Hello, stream",
  "/ws/chat": "Hello, everyone",
  "/hello": "My name is Bora",
};

const maxRows = 500; // of the log
const maxShown = 2000; // characters of one message
const maxTrips = 60; // round trips in the sparkline

let socket = null;
let pending = []; // sent and not yet answered: { key, at }
let trips = [];
let repeating = 0;

// The connection

function connect() {
  const path = chosenPath();
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
  socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  pending = [];
  setState("connecting", `Connecting to ${path}`);
  socket.onopen = () => {
    setState("open", `Connected to ${path}`);
    write({ kind: "open", tone: "good", way: "•", what: url });
    $("text").focus();
  };
  socket.onmessage = ({ data }) => received(path, data);
  socket.onerror = () => {
    write({ kind: "error", tone: "bad", way: "!", note: "The browser does not tell a page why." });
  };
  socket.onclose = closed;
}

/** The path of the endpoint, with the room of the chat where one is named. */
function chosenPath() {
  const form = new FormData($("connection"));
  const [path, room] = [form.get("path"), form.get("room")];
  return room ? `${path}?room=${encodeURIComponent(room)}` : path;
}

function closed({ code, reason, wasClean }) {
  const name = codeNames[code];
  write({
    kind: "close", tone: wasClean ? "good" : "bad", way: "•",
    what: `${code}${reason && ` ${reason}`}`,
    note: [name, wasClean ? "clean" : "not clean"].filter(Boolean).join(", "),
    data: { code, reason, clean: wasClean },
  });
  socket = null;
  pending = [];
  setState("closed", code === 1006 ? "Connection lost" : "Not connected");
}

function setState(state, text) {
  document.body.dataset.state = state;
  $("status").textContent = text;
  $("toggle").textContent = { closed: "Connect", connecting: "Cancel", open: "Disconnect", closing: "Closing…" }[state];
  $("toggle").disabled = state === "closing";
  $("endpoints").disabled = state !== "closed";
  $("send").disabled = state !== "open";
  repeat();
}

// Messages

function send() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const text = $("text").value;
  const data = $("binary").checked ? new TextEncoder().encode(text) : text;
  pending.push({ key: keyOf(data), at: performance.now() });
  socket.send(data);
  write({ kind: kindOf(data), tone: "out", way: "↑", what: show(data), size: sizeOf(data) });
}

function received(path, data) {
  const now = performance.now();
  // Whatever /hello says is an answer; elsewhere the answer is the message itself, come back.
  const key = path === "/hello" ? null : keyOf(data);
  const at = pending.findIndex((p) => key === null || p.key === key);
  let trip;
  if (at >= 0) {
    trip = now - pending[at].at;
    pending.splice(0, at + 1);
    addTrip(trip);
  }
  write({ kind: kindOf(data), tone: "in", way: "↓", what: show(data), size: sizeOf(data), trip });
}

const bytesOf = (data) => (typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data));
const kindOf = (data) => (typeof data === "string" ? "text" : "binary");
const sizeOf = (data) => bytesOf(data).length;
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(" ");
const keyOf = (data) => (typeof data === "string" ? `text ${data}` : `binary ${hex(bytesOf(data))}`);

function show(data) {
  if (typeof data === "string") return data.length > maxShown ? `${data.slice(0, maxShown)}…` : data;
  const bytes = bytesOf(data);
  return hex(bytes.subarray(0, 64)) + (bytes.length > 64 ? " …" : "");
}

function repeat() {
  clearInterval(repeating);
  repeating = $("repeat").checked && socket?.readyState === WebSocket.OPEN ? setInterval(send, 1000) : 0;
}

// Round trips

const ms = (t) => t.toFixed(t < 100 ? 1 : 0); // browsers tell time no finer

function addTrip(trip) {
  trips = [...trips, trip].slice(-maxTrips);
  const sorted = trips.toSorted((a, b) => a - b);
  $("rtt").value = ms(trip);
  $("rtts").textContent = `median ${ms(sorted[sorted.length >> 1])}, best ${ms(sorted[0])}, worst ${ms(sorted.at(-1))}`;
  drawSpark(sorted.at(-1));
}

function drawSpark(worst) {
  const svg = $("spark");
  const { width, height } = svg.getBoundingClientRect();
  const left = width - 4;
  const step = left / (Math.max(trips.length, 20) - 1);
  const points = trips.map((t, i) => [left - (trips.length - 1 - i) * step, height - 3 - (t / worst) * (height - 8)]);
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
  const [x, y] = points.at(-1);
  svg.querySelector(".line").setAttribute("d", `M${line}`);
  svg.querySelector(".area").setAttribute("d", `M${points[0][0].toFixed(1)},${height}L${line}L${x.toFixed(1)},${height}Z`);
  svg.querySelector("circle").setAttribute("cx", x);
  svg.querySelector("circle").setAttribute("cy", y);
  svg.classList.toggle("live", trips.length > 4); // fewer are no curve
}

// The log

function write({ kind, tone, way, what, note, size, trip, data = {} }) {
  const row = document.createElement("li");
  row.className = tone;
  Object.assign(row.dataset, { kind, way: { "↑": "out", "↓": "in" }[way] ?? "", ...data });
  const meta = cell("span", "meta", size === undefined ? "" : bytes(size));
  if (trip !== undefined) {
    meta.prepend(cell("b", "", `${ms(trip)} ms`), "  ");
    row.dataset.trip = trip;
  }
  const content = cell("span", "what", what ?? "");
  if (note) content.append(what ? "  " : "", cell("span", "plain", note));
  const arrow = cell("span", "way", way);
  arrow.setAttribute("aria-label", { "↑": "sent", "↓": "received" }[way] ?? "");
  row.append(cell("time", "", clock({ fine: true })), arrow, cell("span", "kind", kind), content, meta);
  const scroll = $("scroll");
  const following = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
  $("log").append(row);
  while ($("log").childElementCount > maxRows) $("log").firstElementChild.remove();
  if (following) scroll.scrollTop = scroll.scrollHeight;
}

function cell(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.textContent = text;
  return e;
}

// What the user does

$("connection").addEventListener("submit", (e) => {
  e.preventDefault();
  if (!socket) return connect();
  setState("closing", "Closing");
  socket.close(1000, "closed by the page");
});

$("connection").addEventListener("change", (e) => {
  if (e.target.name !== "path") return;
  chose(e.target.value);
  const text = $("text");
  if (text.value === "" || Object.values(greetings).includes(text.value)) text.value = greetings[e.target.value];
});

/** Only the chat has rooms; a field that is disabled has no say. */
function chose(path) {
  $("connection").elements.room.disabled = path !== "/ws/chat";
}

$("message").addEventListener("submit", (e) => {
  e.preventDefault();
  send();
});

$("text").addEventListener("keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  send();
});

$("repeat").addEventListener("change", repeat);
$("clear").addEventListener("click", () => $("log").replaceChildren());

const chosen = new FormData($("connection")).get("path"); // browsers keep it over a reload
chose(chosen);
$("text").value ||= greetings[chosen];
