// The table of prices. Ticks only note what has changed; a frame draws it, once, and only for the rows in view.

import { Row } from "./row.js";
import { Trend } from "./spark.js";

const spareRows = 2; // above and below those in view
const frameMs = 45; // between two drawings: about 20 a second, which is more than one can read
const mostMs = 500; // and where drawing takes long
const slowMs = 500; // between two drawings of trends and ages

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const byName = new Intl.Collator("en", { numeric: true }).compare;

export class Prices {
  #symbols = new Map();
  #order = []; // the symbols by name
  #changed = new Set();
  #rows = [];
  #first = -1; // of the symbols in a row
  #layout = false; // whether rows must be given anew
  #frame = 0;
  #ages = 0; // they go on without ticks; 0 while nothing is drawn
  #nextAt = 0;
  #slowAt = 0;
  #colours = {};

  /** `shown` is told how many rows a frame has drawn. */
  constructor(scroll, table, shown) {
    this.scroll = scroll;
    this.table = table;
    this.shown = shown;
    this.body = table.tBodies[0];
    this.above = spacer();
    this.below = spacer();
    this.body.append(this.above, this.below);
    const anew = () => this.#again();
    scroll.addEventListener("scroll", anew, { passive: true });
    new ResizeObserver(anew).observe(scroll);
    dark.addEventListener("change", () => this.#readColours());
    this.#readColours();
  }

  /** Draws from now on. What has happened meanwhile is not known. */
  start() {
    const now = performance.now();
    for (const { trend } of this.#symbols.values()) trend.skip(now);
    this.#ages = setInterval(() => this.#request(), slowMs);
    this.#again();
  }

  /** Draws no more: a table that is hidden has no measures. */
  stop() {
    clearInterval(this.#ages);
    cancelAnimationFrame(this.#frame);
    this.#ages = this.#frame = 0;
  }

  update(name, data, skipped) {
    const now = performance.now();
    let s = this.#symbols.get(name);
    if (!s) {
      s = { name, data, before: data, ways: { last: 0, bid: 0, ask: 0 }, skipped: 0, at: now, trend: new Trend() };
      this.#symbols.set(name, s);
      this.#order = [];
      this.#layout = true;
    }
    s.data = data;
    s.skipped += skipped;
    s.at = now;
    s.trend.add(data.last, now);
    this.#changed.add(s);
    this.#request();
  }

  get size() {
    return this.#symbols.size;
  }

  #again() {
    this.#layout = true;
    this.#request();
  }

  #request() {
    if (this.#ages) this.#frame ||= requestAnimationFrame((now) => this.#draw(now));
  }

  #draw(now) {
    this.#frame = 0;
    if (this.#layout) this.#place();
    if (now < this.#nextAt) return this.#request();
    this.#rest(now);
    const slow = now - this.#slowAt >= slowMs;
    if (calm.matches && !slow) return;
    let drawn = 0;
    let flashing = false;
    for (const row of this.#rows) {
      if (!row.symbol) continue;
      if (this.#changed.has(row.symbol)) {
        row.paint(now, !calm.matches);
        drawn++;
      }
      flashing = row.settle(now) || flashing;
      if (slow) this.#drawSlow(row);
    }
    this.#changed.clear();
    if (slow) this.#slowAt = now;
    if (flashing) this.#request();
    this.shown(drawn);
  }

  /** On a slow machine drawing leaves two thirds of the time to reading. */
  #rest(now) {
    this.#nextAt = now + frameMs;
    setTimeout(() => { // after the frame is painted
      this.#nextAt = Math.max(this.#nextAt, now + Math.min(mostMs, 3 * (performance.now() - now)));
    });
  }

  #drawSlow(row) {
    const now = performance.now();
    row.age(now);
    const { data, trend } = row.symbol;
    trend.draw(row.canvas, data.last < data.open ? this.#colours.down : this.#colours.up, now);
  }

  /** Gives the rows in view to their symbols. The others are two empty rows, as high as they would be. */
  #place() {
    this.#layout = false;
    if (this.#order.length !== this.#symbols.size) this.#order = [...this.#symbols.values()].sort((a, b) => byName(a.name, b.name));
    const height = this.#rows[0]?.tr.getBoundingClientRect().height || 36;
    const count = this.#order.length;
    const room = Math.min(count, Math.ceil(this.scroll.clientHeight / height) + 2 * spareRows);
    const first = Math.max(0, Math.min(Math.floor(this.scroll.scrollTop / height) - spareRows, count - room));
    this.#turn(first);
    while (this.#rows.length < room) this.#rows.push(new Row());
    for (const row of this.#rows.splice(room)) row.tr.remove();
    this.above.firstChild.style.height = `${first * height}px`;
    this.below.firstChild.style.height = `${(count - first - room) * height}px`;
    this.table.setAttribute("aria-rowcount", count + 1);
    let next = this.below;
    for (const row of this.#rows.toReversed()) {
      if (!row.tr.isConnected) next.before(row.tr);
      next = row.tr;
    }
    // Not before all are in their place: drawing measures, and a table that is short for a moment stops the scrolling.
    this.#rows.forEach((row, i) => this.#give(row, first + i));
  }

  /** Carries the rows that leave at one end to the other, so that those between keep their symbols. */
  #turn(first) {
    const by = first - this.#first;
    this.#first = first;
    if (Math.abs(by) >= this.#rows.length) return;
    const moved = by > 0 ? this.#rows.splice(0, by) : this.#rows.splice(this.#rows.length + by);
    if (by > 0) this.#rows.push(...moved);
    else this.#rows.unshift(...moved);
    for (const row of moved) row.tr.remove();
  }

  #give(row, index) {
    const symbol = this.#order[index];
    if (row.symbol === symbol) return;
    row.bind(symbol);
    row.tr.setAttribute("aria-rowindex", index + 2);
    this.#drawSlow(row);
  }

  #readColours() {
    const style = getComputedStyle(document.documentElement);
    this.#colours = { up: style.getPropertyValue("--up"), down: style.getPropertyValue("--down") };
  }
}

function spacer() {
  const tr = document.createElement("tr");
  tr.className = "spacer";
  tr.setAttribute("aria-hidden", "true");
  tr.append(document.createElement("td"));
  return tr;
}
