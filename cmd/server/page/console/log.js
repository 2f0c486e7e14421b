// The log of what has happened, newest last.

import { bytes, clock, ms } from "../words.js";

const $ = (id) => document.getElementById(id);

const maxRows = 500;

/** Adds a row. */
export function write({ kind, tone, way, what, note, size, trip, data = {} }) {
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
  const following = atEnd();
  $("log").append(row);
  while ($("log").childElementCount > maxRows) $("log").firstElementChild.remove();
  if (following) toEnd();
}

const scroll = $("log-scroll");
const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
const toEnd = () => { scroll.scrollTop = scroll.scrollHeight; };

let left = { atEnd: true, top: 0 }; // where the reader was when the log was hidden, which has no places

/** Is called before the log is hidden. */
export function rest() {
  left = { atEnd: atEnd(), top: scroll.scrollTop };
}

/** Is called when the log is there again. */
export function follow() {
  if (left.atEnd) toEnd();
  else scroll.scrollTop = left.top;
}

function cell(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.textContent = text;
  return e;
}

$("clear").addEventListener("click", () => $("log").replaceChildren());
