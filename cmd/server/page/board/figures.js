// The figures above the table.

import { bytes } from "../words.js";

const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

/** Shows what a meter has counted, and gives the last second. */
export function showFigures(meter) {
  const s = meter.second();
  const { total } = meter;
  const [amount, unit] = bytes(s.bytes).split(" ");
  put("messages", whole.format(s.messages));
  put("messages-all", `${short.format(total.messages)} in all`);
  put("bytes", amount);
  put("bytes-unit", unit);
  put("bytes-all", `${bytes(total.bytes)} in all`);
  put("shown", whole.format(s.shown));
  put("shown-all", `${short.format(total.shown)} in all`);
  put("skipped", whole.format(s.skipped));
  put("skipped-all", `${short.format(total.skipped)} in all`);
  put("gaps", whole.format(total.gaps));
  showLag(s);
  return s;
}

function showLag({ medianLag, maxLag, minLag }) {
  if (medianLag === undefined) {
    put("lag", "–");
    put("lag-unit", "ms");
    return put("lag-max", "no ticks");
  }
  const inSeconds = maxLag >= 10_000;
  const time = (ms) => (inSeconds ? (ms / 1000).toFixed(1) : whole.format(Math.round(ms)));
  put("lag", time(medianLag));
  put("lag-unit", inSeconds ? "s" : "ms");
  put("lag-max", minLag < -2 ? "the clocks differ" : `max ${time(maxLag)} ${inSeconds ? "s" : "ms"}`);
}

export function put(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}
