// Counts, in all and in the last second: ten slices of 100 ms.

const slices = 10;
const sliceMs = 100;
const maxLags = 2_000; // of a slice, for the median

const empty = (index) => ({ index, messages: 0, bytes: 0, shown: 0, skipped: 0, gaps: 0, lags: [], maxLag: -Infinity, minLag: Infinity });

export class Meter {
  total = { messages: 0, bytes: 0, shown: 0, skipped: 0, gaps: 0 };
  #ring = [];

  #slice() {
    const index = Math.floor(performance.now() / sliceMs);
    const at = index % (slices + 1);
    if (this.#ring[at]?.index !== index) this.#ring[at] = empty(index);
    return this.#ring[at];
  }

  add(what, n = 1) {
    this.total[what] += n;
    this.#slice()[what] += n;
  }

  lag(ms) {
    const s = this.#slice();
    if (s.lags.length < maxLags) s.lags.push(ms);
    s.maxLag = Math.max(s.maxLag, ms);
    s.minLag = Math.min(s.minLag, ms);
  }

  /** The last second; lags are undefined where there are none. */
  second() {
    const now = Math.floor(performance.now() / sliceMs);
    const sum = empty(now);
    for (const s of this.#ring) {
      if (!s || s.index < now - slices || s.index >= now) continue; // this slice is not yet full
      for (const what of ["messages", "bytes", "shown", "skipped"]) sum[what] += s[what];
      sum.lags = sum.lags.concat(s.lags);
      sum.maxLag = Math.max(sum.maxLag, s.maxLag);
      sum.minLag = Math.min(sum.minLag, s.minLag);
    }
    if (sum.lags.length === 0) return { ...sum, medianLag: undefined };
    sum.lags.sort((a, b) => a - b);
    return { ...sum, medianLag: sum.lags[sum.lags.length >> 1] };
  }
}
