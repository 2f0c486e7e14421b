// What both pages say in the same words.

export const codeNames = {
  1000: "normal closure", 1001: "going away", 1002: "protocol error", 1003: "unsupported data", 1005: "no status",
  1006: "abnormal closure", 1007: "invalid payload", 1008: "policy violation", 1009: "message too big",
  1011: "internal error", 1012: "service restart", 1013: "try again later",
};

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
