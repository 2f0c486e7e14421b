// A client of headrace.feed.v1: one subscription, its positions, and the way back after a break. It knows nothing of the page.

import { open } from "./socket.js";

const protocol = "headrace.feed.v1";
const connectMs = 10_000; // for the handshake
const silenceMs = 35_000; // three heartbeats
const steadyMs = 5_000; // live for so long, and the next break starts with a short wait again

/** The states, in order: closed, connecting, subscribing, live; switching goes back to subscribing, waiting to connecting. */
export class Feed {
  state = "closed";
  #socket = null;
  #topics = new Map(); // name: { epoch, seq, phase, left, end }
  #subscription = null; // what goes into subscribe, as wanted
  #ids = 0;
  #tries = 0; // since it was last live
  #heard = 0;
  #back = null; // what came back after subscribe
  #timer = 0; // the one that the state waits for
  #watch = 0;

  /**
   * `on` is called: state(state, waitMs), update(message, { fresh, missing }), received(text), live(back), closed({ code, reason, clean,
   * opened }), which gives whether to come back, and refused({ code, reason }). `turn` is socket.js's; `slow` says whether the
   * page is slow on purpose, when silence means nothing.
   */
  constructor({ url, topic, on, turn, slow }) {
    Object.assign(this, { url, topic, on, turn, slow });
  }

  get topics() {
    return this.#topics.size;
  }

  /** Chooses mode and maxRate, and subscribes anew where there is a connection. */
  subscribe(subscription) {
    this.#subscription = subscription;
    if (this.state !== "live" && this.state !== "subscribing") return;
    this.#become("switching");
    this.#send({ type: "unsubscribe", id: this.#id(), topic: this.topic });
  }

  connect() {
    this.#become("connecting");
    const socket = open(this.url, protocol, {
      opened: () => this.#socket === socket && this.#opened(),
      message: (text) => this.#socket === socket && this.#take(text),
      closed: (info) => this.#socket === socket && this.#closed(info),
    }, () => (this.state === "live" ? this.turn() : undefined)); // slow is how it reads what is live
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#broken(), connectMs);
  }

  disconnect() {
    this.#drop("closed by the page");
    this.#become("closed");
  }

  /** Disconnects, and forgets its positions: to come back begins with a snapshot. */
  leave() {
    this.disconnect();
    this.#topics.clear();
  }

  /** Leaves without waiting for what is under way, and comes back after a time. */
  cut(ms) {
    this.#drop("cut by the page");
    this.#become("waiting", ms);
    this.#timer = setTimeout(() => this.connect(), ms);
  }

  #become(state, waitMs) {
    clearTimeout(this.#timer);
    this.state = state;
    this.on.state(state, waitMs);
  }

  #opened() {
    this.#heard = performance.now();
    this.#watch = setInterval(() => this.#listen(), 5_000);
    this.#ask(false);
  }

  #ask(again) {
    this.#become("subscribing");
    this.#back = { again, messages: 0, topics: 0, missing: 0, snapshots: 0, lost: 0, asked: this.#topics.size > 0 };
    const since = {};
    for (const [name, t] of this.#topics) {
      t.phase = "live";
      if (t.seq !== undefined) since[name] = { epoch: t.epoch, seq: t.seq };
    }
    this.#send({ type: "subscribe", id: this.#id(), topic: this.topic, ...this.#subscription, ...(this.#back.asked && { since }) });
  }

  #listen() {
    if (!this.slow() && performance.now() - this.#heard > silenceMs) this.#broken();
  }

  /** For an end that nobody tells of: no answer, or silence. */
  #broken() {
    const opened = this.state !== "connecting";
    this.#drop("nothing was heard");
    this.#closed({ code: 1006, reason: "", clean: false }, opened);
  }

  #drop(reason) {
    const socket = this.#socket;
    this.#leave();
    socket?.close(1000, reason);
  }

  #leave() {
    this.#socket = null;
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
  }

  #closed(info, opened = this.state !== "connecting") {
    this.#leave();
    if (!this.on.closed({ ...info, opened })) return this.#become("closed");
    const ms = Math.min(15_000, 500 * 2 ** this.#tries++) * (0.5 + Math.random() / 2); // all clients at once would be a crowd
    this.#become("waiting", ms);
    this.#timer = setTimeout(() => this.connect(), ms);
  }

  #id() {
    return String(++this.#ids);
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  // What the server sends

  #take(text) {
    this.#heard = performance.now();
    this.on.received(text);
    const m = parse(text);
    switch (m.type) {
      case "update": return this.#update(m);
      case "snapshot": return this.#snapshot(m);
      case "snapshot-end": return this.#reached(m.topic, m);
      case "recovered": return this.#recovered(m);
      case "live": return this.#live();
      case "unsubscribed": return this.state === "switching" && this.#ask(true);
      case "error": return this.#refused(m);
      default: // subscribed, heartbeat, pong: that something has come is all
    }
  }

  #live() {
    if (this.state !== "subscribing") return; // what was asked for has changed meanwhile
    this.#become("live");
    this.#timer = setTimeout(() => { this.#tries = 0; }, steadyMs);
    this.on.live(this.#back);
  }

  #refused(m) {
    if (this.state === "switching" && m.code === "not-subscribed") return this.#ask(true); // what was to go is not there
    this.on.refused(m);
  }

  #snapshot({ topic, epoch, lost = false }) {
    this.#back.snapshots++;
    this.#back.lost += lost;
    // The position stays what it was up to snapshot-end: should the connection break before, values would be missing.
    this.#topics.set(topic, { epoch, ...this.#topics.get(topic), phase: "snapshot" });
  }

  #recovered({ topic, epoch, seq, count }) {
    this.#back.topics++;
    this.#back.messages += count;
    const t = { epoch, seq: this.#topics.get(topic)?.seq ?? 0, phase: "recovered", left: count, end: seq };
    this.#topics.set(topic, t);
    if (count === 0) this.#recoveredAll(topic, t);
  }

  #recoveredAll(topic, t) {
    this.#miss(t.end - t.seq);
    this.#reached(topic, { epoch: t.epoch, seq: t.end });
  }

  /** Counts what a recovery leaves out. In latest it leaves out older values, and is whole all the same. */
  #miss(n) {
    if (this.#subscription.mode !== "latest") this.#back.missing += n;
  }

  #reached(topic, { epoch, seq }) {
    this.#topics.set(topic, { epoch, seq, phase: "live" });
  }

  #update(m) {
    const before = m.seq - 1 - (m.skipped ?? 0); // where the one before stood, if nothing is missing
    const t = this.#topics.get(m.topic) ?? { seq: before, phase: "live" };
    const fresh = t.phase === "live";
    let missing = 0;
    if (fresh) {
      if (m.epoch !== undefined && m.epoch !== t.epoch) Object.assign(t, { epoch: m.epoch, seq: before });
      missing = Math.max(0, before - t.seq);
    } else if (t.phase === "recovered") {
      this.#miss(m.seq - 1 - t.seq);
      t.left--;
    }
    if (t.phase !== "snapshot") t.seq = Math.max(t.seq, m.seq);
    this.#topics.set(m.topic, t);
    if (t.left === 0) this.#recoveredAll(m.topic, t);
    this.on.update(m, { fresh, missing });
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { type: "error", code: "unreadable", reason: "the server has sent what is no JSON" };
  }
}
