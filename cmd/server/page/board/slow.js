// The slow reader. Where the page reads (see socket.js) it reads no more messages in a second than the slider says. Where it is
// called, it keeps its thread busy for a part of every 100 ms: what comes meanwhile waits in the browser.

const perSecond = [Infinity, 5000, 2000, 1000, 500, 200, 100, 50, 20, 5];
const busyMs = [0, 10, 20, 35, 50, 60, 70, 80, 90, 95]; // of every 100

export class Slow {
  level = 0;
  #tokens = 0;
  #filled = performance.now();
  #timer = 0;

  constructor(reads) {
    this.reads = reads;
  }

  /** What the level means, in words. */
  get words() {
    if (this.level === 0) return "reads as fast as it can";
    return this.reads ? `reads ${perSecond[this.level].toLocaleString("en")} messages/s at most` : `is busy for ${busyMs[this.level]} of every 100 ms`;
  }

  set(level) {
    this.level = level;
    this.#tokens = 0;
    clearInterval(this.#timer);
    if (!this.reads && level > 0) this.#timer = setInterval(() => spin(busyMs[this.level]), 100);
  }

  /** Nothing where a message may be read now, else a promise of the time for it. */
  turn() {
    if (this.level === 0) return undefined;
    this.#fill();
    if (this.#tokens < 1) return this.#wait();
    this.#tokens--;
    return undefined;
  }

  #fill() {
    const now = performance.now();
    const rate = perSecond[this.level];
    this.#tokens = Math.min(this.#tokens + ((now - this.#filled) * rate) / 1000, Math.max(1, rate / 4));
    this.#filled = now;
  }

  async #wait() {
    while (this.level > 0 && this.#tokens < 1) {
      await new Promise((done) => setTimeout(done, 20));
      this.#fill();
    }
    this.#tokens--;
  }
}

function spin(ms) {
  for (const end = performance.now() + ms; performance.now() < end; );
}
