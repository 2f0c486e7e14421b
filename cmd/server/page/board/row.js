// A row of the table. There are only as many as are in view; each shows whichever symbol has its place.

import { count } from "../words.js";

// A flash fades in steps. A transition would be smoother, and paint the page anew 60 times a second for it.
const stages = [[250, "flash"], [500, "flash fading"]]; // up to how many ms, with which classes
const restMs = () => 800 + 1_200 * Math.random(); // no cell flashes more often; at random, or all would blink as one

const price = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const percent = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero" });
const whole = new Intl.NumberFormat("en");

const moving = ["last", "bid", "ask"];
const columns = ["symbol", "last", "change", "bid", "ask", "vol", "trend", "lost", "age"];

export class Row {
  symbol = null;
  tr = document.createElement("tr");
  canvas = document.createElement("canvas");
  #cells = {};
  #flashing = new Map(); // name of a cell: { since, until }

  constructor() {
    for (const name of columns) {
      const cell = document.createElement(name === "symbol" ? "th" : "td");
      cell.className = name;
      if (name === "symbol") cell.scope = "row";
      if (name === "trend") cell.append(this.canvas);
      else cell.append(this.#cells[name] = document.createTextNode(""));
      this.tr.append(cell);
    }
    this.canvas.setAttribute("aria-hidden", "true");
  }

  /** Gives the row to another symbol. */
  bind(symbol) {
    this.symbol = symbol;
    for (const name of this.#flashing.keys()) this.#cell(name).className = name;
    this.#flashing.clear();
    this.#set("symbol", symbol.name);
    this.paint(0, false);
  }

  paint(now, flash) {
    const { data, before, ways, skipped } = this.symbol;
    for (const name of moving) {
      this.#set(name, Number.isFinite(data[name]) ? price.format(data[name]) : "–");
      const way = Math.sign(data[name] - before[name]) || 0; // of what is no number, too
      if (way !== 0) ways[name] = way;
      if (way !== 0 && flash && !this.#flashing.has(name)) this.#flashing.set(name, { since: now, until: now + restMs() });
      this.#mark(name, ways[name]);
    }
    const change = data.open ? ((data.last - data.open) / data.open) * 100 : 0;
    this.#set("change", `${percent.format(change)} %`.replace("-", "−"));
    this.#mark("change", Math.sign(Number(change.toFixed(2))));
    this.#set("vol", Number.isFinite(data.vol) ? whole.format(data.vol) : "–");
    this.#set("lost", skipped ? count(skipped) : "–");
    this.symbol.before = data;
  }

  age(now) {
    const s = Math.floor((now - this.symbol.at) / 1000);
    this.#set("age", s < 1 ? "now" : s < 100 ? `${s} s` : `${Math.floor(s / 60)} min`);
    this.tr.classList.toggle("stale", s >= 5);
  }

  /** Lets fade what has flashed, and says whether anything still does. */
  settle(now) {
    for (const [name, { since, until }] of this.#flashing) {
      const stage = stages.find(([end]) => now - since < end)?.[1] ?? "";
      const classes = stage ? `${name} ${stage}` : name;
      const cell = this.#cell(name);
      if (cell.className !== classes) cell.className = classes;
      if (now >= until) this.#flashing.delete(name);
    }
    return this.#flashing.size > 0;
  }

  #mark(name, way) {
    const mark = way > 0 ? "up" : way < 0 ? "down" : "";
    const { dataset } = this.#cell(name);
    if (dataset.way !== mark) dataset.way = mark;
  }

  #cell(name) {
    return this.#cells[name].parentElement;
  }

  #set(name, text) {
    if (this.#cells[name].data !== text) this.#cells[name].data = text;
  }
}
