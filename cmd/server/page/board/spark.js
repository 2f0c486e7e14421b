// The last half minute of a price: its values, and the line that they make.

const points = 60;
const stepMs = 500;

export class Trend {
  #values = new Float64Array(points); // a ring; 0 where there is none
  #newest = -1; // the step of the newest value

  add(value, now) {
    this.#reach(Math.floor(now / stepMs));
    this.#values[this.#newest % points] = value;
  }

  /** Goes on to a step: where no tick came the price has stayed. */
  #reach(step) {
    const from = Math.max(this.#newest, step - points);
    const last = this.#newest < 0 ? 0 : this.#values[this.#newest % points];
    for (let s = from + 1; s <= step; s++) this.#values[s % points] = last;
    this.#newest = step;
  }

  /** Goes on to now, without a price for the time between. */
  skip(now) {
    if (this.#newest < 0) return;
    const step = Math.floor(now / stepMs);
    for (let s = Math.max(this.#newest, step - points) + 1; s <= step; s++) this.#values[s % points] = 0;
    this.#newest = step;
  }

  /** Draws the line, oldest on the left. */
  draw(canvas, colour, now) {
    if (this.#newest >= 0) this.#reach(Math.floor(now / stepMs));
    const { width, height, scale, ctx } = fit(canvas);
    ctx.clearRect(0, 0, width, height);
    const known = [];
    for (let i = 0; i < points; i++) {
      const v = this.#values[(this.#newest + 1 + i) % points];
      if (v > 0) known.push([i, v]);
    }
    if (known.length < 2) return;
    const low = Math.min(...known.map(([, v]) => v));
    const high = Math.max(...known.map(([, v]) => v));
    const pad = 3 * scale;
    const x = (i) => pad + (i / (points - 1)) * (width - 2 * pad);
    const y = (v) => (high === low ? height / 2 : height - pad - ((v - low) / (high - low)) * (height - 2 * pad));
    const line = new Path2D();
    for (const [i, v] of known) line.lineTo(x(i), y(v));
    ctx.lineWidth = 1.5 * scale;
    ctx.lineJoin = "round";
    ctx.strokeStyle = ctx.fillStyle = colour;
    ctx.stroke(line);
    const [lastX, lastY] = [x(known.at(-1)[0]), y(known.at(-1)[1])];
    const area = new Path2D(line);
    area.lineTo(lastX, height);
    area.lineTo(x(known[0][0]), height);
    ctx.globalAlpha = 0.12;
    ctx.fill(area);
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.arc(lastX, lastY, 2 * scale, 0, 2 * Math.PI);
    ctx.fill();
  }
}

/** Gives a canvas the pixels of its place on the screen. */
function fit(canvas) {
  const scale = devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return { width, height, scale, ctx: canvas.getContext("2d") };
}
