// What both pages say in the same words.

export const codeNames = {
  1000: "normal closure", 1001: "going away", 1002: "protocol error", 1003: "unsupported data", 1005: "no status",
  1006: "abnormal closure", 1007: "invalid payload", 1008: "policy violation", 1009: "message too big",
  1011: "internal error", 1012: "service restart", 1013: "try again later",
};

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** A number that is counted: 9,876, 12.3K, 1.23M. */
export const count = (n) => (n < 10_000 ? whole : compact).format(n);

/** A time: [850, "ms"], [9.5, "s"], [120, "s"]. */
export function duration(ms) {
  if (Math.round(ms) < 1_000) return [whole.format(Math.round(ms)), "ms"];
  return [ms < 99_950 ? (ms / 1000).toFixed(1) : whole.format(Math.round(ms / 1000)), "s"];
}

/** A short time in milliseconds; browsers tell it no finer. */
export const ms = (t) => t.toFixed(t < 100 ? 1 : 0);

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  return n < 1 << 20 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / (1 << 20)).toFixed(1)} MiB`;
}

const two = (n) => String(n).padStart(2, "0");

/** The time of day; with milliseconds where fine. */
export function clock({ fine }) {
  const d = new Date();
  const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return fine ? `${time}.${String(d.getMilliseconds()).padStart(3, "0")}` : time;
}
