// The console: a WebSocket client one can watch. It talks to the server that the page came from, and to nothing else.

import { tell } from "../status.js";
import { onView } from "../views.js";
import { codeNames } from "../words.js";
import { follow, rest, write } from "./log.js";
import { addTrip, drawTrips } from "./trips.js";

const $ = (id) => document.getElementById(id);

const greetings = {
  "/echo": "Hello, stream",
  "/ws/chat": "Hello, everyone",
  "/hello": "My name is Bora",
};

const maxShown = 2000; // characters of one message

let socket = null;
let pending = []; // sent and not yet answered: { key, at }
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
  tell("console", state, text);
  $("console-toggle").textContent = { closed: "Connect", connecting: "Cancel", open: "Disconnect", closing: "Closing…" }[state];
  $("console-toggle").disabled = state === "closing";
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

const chosen = new FormData($("connection")).get("path"); // browsers keep it over a reload
chose(chosen);
$("text").value ||= greetings[chosen];

// The connection stays while another view is shown, and what comes is written.
onView("console", {
  enter() {
    follow();
    drawTrips();
  },
  leave: rest,
});
