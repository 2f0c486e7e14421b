// The tick board: what its controls do, and what it says. See feed.js for the protocol, and prices.js for the table.

import { tell } from "../status.js";
import { onView } from "../views.js";
import { duration } from "../words.js";
import { explain } from "./ends.js";
import { Feed } from "./feed.js";
import { put, showFigures } from "./figures.js";
import { Meter } from "./meter.js";
import { hide, note, say } from "./notes.js";
import { Prices } from "./prices.js";
import { comeBack, sayRecovery } from "./recovery.js";
import { Slow } from "./slow.js";
import { hasStream } from "./socket.js";

const $ = (id) => document.getElementById(id);

const prefix = "ticks.";
const cutMs = 300; // away after a cut, so that there is something to recover
const sourceMs = 2_000; // live without a topic, and there is no source
const behindMs = 1_000; // of lag, before the page speaks of it
const local = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(location.hostname);

const meter = new Meter();
const slow = new Slow(hasStream);
const prices = new Prices($("prices-scroll"), $("prices"), (rows) => meter.add("shown", rows));
const encoder = new TextEncoder();
let noSource = 0;
let cut = false; // and not yet back
let wanted = true; // whether there shall be a connection while the board is shown
let figures = 0;

const feed = new Feed({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/feed`,
  topic: `${prefix}*`,
  turn: () => slow.turn(),
  slow: () => slow.level > 0,
  on: { state: stateChanged, received, update, live, closed, refused },
});

// What comes

function received(text) {
  meter.add("messages");
  meter.add("bytes", sizeOf(text));
}

const sizeOf = (text) => (/^[\0-\x7f]*$/.test(text) ? text.length : encoder.encode(text).length);

function update({ topic, data, skipped = 0, deleted }, { fresh, missing }) {
  if (deleted || typeof data?.last !== "number") return;
  if (prices.size === 0) hide(); // that there are none
  meter.add("skipped", skipped);
  meter.add("gaps", missing);
  if (fresh && Number.isFinite(data.t)) meter.lag(Date.now() - data.t);
  prices.update(topic.slice(prefix.length), data, skipped);
}

function live(back) {
  clearTimeout(noSource);
  noSource = setTimeout(() => prices.size === 0 && sayNoSource(), sourceMs);
  hide();
  const text = comeBack(back, chosen().mode === "latest");
  const tone = back.missing || back.lost ? "bad" : "good";
  note(text, tone);
  if (cut) sayRecovery(text, tone);
  cut = false;
}

function closed(info) {
  const { title, text, offers, comesBack } = explain({ ...info, mode: chosen().mode, slow: slow.level > 0 });
  note(info.opened ? `Closed by the server: ${title}` : title, "bad");
  say({ title: info.opened ? `Closed: ${title}` : title, text, offers: offers.map((name) => offered[name]), code: info.code });
  return comesBack;
}

function refused({ code, reason }) {
  note(`Refused: ${code}, ${reason}`, "bad");
  say({ title: "The server refuses", text: `${reason} (${code})`, offers: [offered.reconnect] });
}

// What the user chooses

function chosen() {
  const mode = new FormData($("delivery")).get("mode");
  const maxRate = Number(new FormData($("delivery")).get("maxRate") ?? 0);
  return mode === "latest" && maxRate ? { mode, maxRate } : { mode };
}

function choose() {
  $("rates").disabled = false; // else the form leaves them out
  feed.subscribe(chosen());
  $("rates").disabled = chosen().mode !== "latest";
}

function setLevel() {
  slow.set(Number($("level").value));
  $("level").setAttribute("aria-valuetext", slow.words);
  $("pace").value = slow.words[0].toUpperCase() + slow.words.slice(1);
}

$("delivery").addEventListener("change", choose);
$("level").addEventListener("input", setLevel);
$("slow").addEventListener("submit", (e) => e.preventDefault());
$("delivery").addEventListener("submit", (e) => {
  e.preventDefault();
  hide();
  if (feed.state === "closed") return feed.connect();
  feed.disconnect();
  note("Disconnected");
});
$("cut").addEventListener("click", () => {
  cut = true;
  note("Cut");
  feed.cut(cutMs);
});
addEventListener("online", () => feed.state === "waiting" && feed.connect());

const offered = {
  reconnect: { label: "Reconnect", do: reconnect },
  latest: {
    label: "Reconnect with Latest",
    do: () => {
      $("delivery").elements.mode.value = "latest";
      choose();
      reconnect();
    },
  },
};

function reconnect() {
  hide();
  feed.disconnect();
  feed.connect();
  $("ticks-toggle").focus(); // the button that was pressed is gone
}

// What the page says

function stateChanged(state, waitMs) {
  const shown = { closed: "closed", live: "open" }[state] ?? "connecting";
  tell("ticks", shown, {
    closed: "Not connected", connecting: "Connecting", subscribing: "Subscribing", switching: "Subscribing anew",
    live: `Live, ${chosen().mode === "latest" ? "latest" : "queue"}`, waiting: `Back in ${((waitMs ?? 0) / 1000).toFixed(1)} s`,
  }[state]);
  $("ticks-toggle").textContent = state === "closed" ? "Connect" : "Disconnect";
  $("cut").disabled = state !== "live";
  if (state !== "live") clearTimeout(noSource);
  sayRecovery("", "");
}

function sayNoSource() {
  const command = document.createElement("code");
  command.textContent = 'make run ARGS="--demo-ticks symbols=50,rate=2000"';
  const text = new DocumentFragment();
  text.append("The connection is live, but the server publishes no ticks. Start it with a source of them: ", command);
  say({ title: "No ticks", text, offers: [] });
}

/** What a slow page should know. */
function hint(lag = 0) {
  if (slow.level === 0 || feed.state !== "live" || lag < behindMs) return "";
  const behind = `${duration(lag).join(" ")} behind`;
  return chosen().mode === "queue"
    ? `${behind}, and more waits. When the server's queue is full it closes with 1013, or cuts a page too slow to see that.`
    : `${behind}: that is in buffers on the way, the rest the server skips. At 10/s or 2/s less is on the way.`;
}

$("how").textContent = hasStream
  ? "With WebSocketStream: what this page doesn't read stays in the browser and the kernel, and then in the server."
  : "This browser has no WebSocketStream here, so the page keeps itself busy, and reads late.";
$("clock").textContent = local
  ? "Lag: now minus the time in the tick. Server and browser share a clock."
  : "Lag: now minus the time in the tick. It is right if both clocks are.";
choose(); // browsers keep it over a reload

// A board that nobody sees reads nothing, draws nothing and wakes up for nothing.
onView("ticks", {
  enter() {
    figures = setInterval(() => put("hint", hint(showFigures(meter).medianLag)), 500);
    setLevel();
    prices.start();
    if (wanted) feed.connect();
  },
  leave() {
    wanted = feed.state !== "closed"; // else the user, or the server, has ended it
    if (wanted) {
      note("Away, and disconnected");
      feed.leave();
    }
    cut = false;
    prices.stop();
    slow.set(0);
    clearInterval(figures);
  },
});
