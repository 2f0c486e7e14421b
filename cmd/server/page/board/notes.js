// What happened, line by line, and the notice over the table.

import { clock } from "../words.js";

const $ = (id) => document.getElementById(id);
const maxEvents = 30;

/** Adds to what happened. */
export function note(text, tone = "") {
  const newest = $("events").firstElementChild;
  if (newest?.lastChild.data === text) { // tried again, to the same end
    newest.firstChild.textContent = clock({ fine: false });
    return;
  }
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = clock({ fine: false });
  item.className = tone;
  item.append(time, text);
  $("events").prepend(item);
  while ($("events").childElementCount > maxEvents) $("events").lastElementChild.remove();
}

/** Says what needs an answer, or an explanation; offers are buttons: { label, do }. */
export function say({ title, text, offers, code }) {
  const box = $("notice");
  if (!box.hidden && box.dataset.title === title) return; // said, and heard
  const head = document.createElement("h2");
  head.textContent = title;
  const body = document.createElement("p");
  body.append(text);
  const buttons = document.createElement("p");
  buttons.className = "row";
  for (const offer of offers) {
    const button = document.createElement("button");
    button.textContent = offer.label;
    button.addEventListener("click", offer.do);
    buttons.append(button);
  }
  Object.assign(box.dataset, { title, code: code ?? "" });
  box.replaceChildren(head, body, ...(offers.length ? [buttons] : []));
  box.hidden = false;
}

export function hide() {
  $("notice").hidden = true;
}
