// The figures above the table.

import { bytes, count, duration } from "../words.js";

const $ = (id) => document.getElementById(id);

/** Shows what a meter has counted, and gives the last second. */
export function showFigures(meter) {
  const s = meter.second();
  const { total } = meter;
  const [amount, unit] = bytes(s.bytes).split(" ");
  put("messages", count(s.messages));
  put("messages-all", `${count(total.messages)} in all`);
  put("bytes", amount);
  put("bytes-unit", unit);
  put("bytes-all", `${bytes(total.bytes)} in all`);
  put("shown", count(s.shown));
  put("shown-all", `${count(total.shown)} in all`);
  put("skipped", count(s.skipped));
  put("skipped-all", `${count(total.skipped)} in all`);
  put("gaps", count(total.gaps));
  showLag(s);
  return s;
}

function showLag({ medianLag, maxLag, minLag }) {
  if (medianLag === undefined) {
    put("lag", "–");
    put("lag-unit", "ms");
    return put("lag-max", "no ticks");
  }
  const [lag, unit] = duration(medianLag);
  put("lag", lag);
  put("lag-unit", unit);
  put("lag-max", minLag < -2 ? "the clocks differ" : `max ${duration(maxLag).join(" ")}`);
}

export function put(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}
