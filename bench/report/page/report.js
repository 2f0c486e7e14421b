// Draws the plots of a report. What it draws stands in the page, beside each of them.
"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const printWidth = 660; // of a plot on paper, in px
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  // Figures

  const digits = (v, n) => String(Number(v.toPrecision(n)));
  const grouped = (v) => v.toLocaleString("en-US", { maximumFractionDigits: v < 100 ? 2 : 0 });
  const time = (ms, n) => {
    if (ms < 1) return `${digits(ms * 1000, n)} µs`;
    return ms < 1000 ? `${digits(ms, n)} ms` : `${digits(ms / 1000, n)} s`;
  };
  const short = (v) => {
    for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"]]) {
      if (v >= size) return `${digits(v / size, 4)}${letter}`;
    }
    return v < 1000 ? digits(v, 4) : grouped(v);
  };
  const clock = (s) => {
    if (s < 120) return `${digits(s, 3)} s`;
    const two = (n) => String(Math.floor(n)).padStart(2, "0");
    return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two((s % 3600) / 60)}:${two(s % 60)}`;
  };
  const percent = (x) => {
    const exact = 100 * (1 - 1 / x);
    return `${Number(exact.toFixed(Math.max(0, Math.floor(Math.log10(x)))))} %`;
  };
  const units = {
    ms: { tick: (v) => time(v, 3), read: (v) => time(v, 3) },
    count: { tick: short, read: grouped },
    plain: { tick: short, read: (v) => digits(v, 5) },
  };
  const axes = {
    percentiles: { tick: (v) => percent(v).replace(" ", ""), read: (v) => `${percent(v)} (1 in ${grouped(Math.round(v))})` },
    seconds: { tick: clock, read: clock },
    plain: { tick: short, read: (v) => digits(v, 5) },
  };

  // Scales

  /** The 1-2-5 steps between two values, those below and above included. */
  function steps(low, high) {
    const all = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
      for (const m of [1, 2, 5]) all.push(m * 10 ** e);
    }
    const first = all.findLastIndex((v) => v <= low * 1.0001);
    const last = all.findIndex((v) => v >= high * 0.9999);
    return all.slice(Math.max(first, 0), last < 0 ? all.length : last + 1);
  }

  const logScale = {
    distr: 3,
    range: (_, low, high) => {
      if (!(low > 0)) return [0.1, 1];
      const all = steps(low, high);
      return all.length > 1 ? [all[0], all.at(-1)] : [all[0] / 2, all[0] * 2];
    },
  };
  const linearScale = { range: (_, low, high) => (low < 0 ? [low * 1.08, Math.max(high, 0) * 1.08] : [0, high > 0 ? high * 1.08 : 1]) };

  /** The steps that find room on an axis of so many pixels. */
  function logTicks(low, high, room) {
    const all = steps(low, high).filter((v) => v >= low * 0.999 && v <= high * 1.001);
    const fit = room / 22;
    if (all.length <= fit) return all;
    const decades = all.filter((v) => Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6);
    const each = Math.ceil(decades.length / fit);
    return decades.filter((_, i) => i % each === 0);
  }

  /** 0, 50, 90, 99, 99.9 %, and what lies between once there is room for it. */
  function percentileTicks(low, high) {
    const near = Math.log10(high / low) < 2;
    const all = [];
    for (let d = 1; d <= high; d *= 10) all.push(...(near ? [d, 2 * d, 4 * d] : d === 1 ? [1, 2] : [d]));
    return all.filter((v) => v >= low * 0.999 && v <= high * 1.001);
  }

  /** Labels without those that would stand on the one before. */
  function thinned(u, splits, label) {
    let end = -Infinity;
    return splits.map((v) => {
      const text = label(v);
      const half = text.length * 3.6;
      const at = u.valToPos(v, "x");
      if (at - half < end + 4) return "";
      end = at + half;
      return text;
    });
  }

  // Plots

  const paths = { steps: uPlot.paths.stepped({ align: -1 }), bars: uPlot.paths.bars({ size: [0.8, 40], align: -1 }) };
  const sync = uPlot.sync("seconds");

  function options(draw, width, height) {
    const unit = units[draw.unit] ?? units.plain;
    const axis = axes[draw.kind] ?? axes.plain;
    const look = { stroke: colour("soft"), font: `12px ${colour("sans")}`, grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid"), width: 1, size: 5 } };
    const x = { ...look, values: (u, splits) => thinned(u, splits, axis.tick), size: 34, gap: 6 };
    const y = {
      ...look, gap: 6, values: (_, splits) => splits.map(unit.tick),
      size: (_, values) => 18 + 7 * Math.max(3, ...(values ?? []).map((v) => v.length)),
    };
    if (draw.kind === "percentiles") {
      x.splits = (_u, _i, low, high) => percentileTicks(low, high);
      x.filter = (_, splits) => splits;
    }
    if (draw.logY) {
      y.splits = (u, _i, low, high) => logTicks(low, high, u.bbox.height / devicePixelRatio);
      y.filter = (_, splits) => splits;
    } else if (draw.unit === "count") {
      y.incrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].flatMap((e) => [1, 2, 5].map((m) => m * 10 ** e));
    }
    if (draw.kind === "plain") {
      Object.assign(x, { label: draw.x, labelSize: 20, labelGap: 2, labelFont: look.font, size: 30 });
    }
    return {
      width, height,
      padding: [10, draw.kind === "percentiles" ? 28 : 16, 0, 0],
      cursor: { y: false, points: { size: 7 }, sync: draw.kind === "seconds" ? { key: sync.key } : undefined },
      legend: { markers: { width: 0, fill: (u, i) => u.series[i].stroke(u, i) } },
      scales: {
        x: { time: false, ...(draw.kind === "percentiles" ? { distr: 3, range: (_, low, high) => [low, Math.max(high, low * 2)] } : {}) },
        y: draw.logY ? logScale : linearScale,
      },
      axes: [x, y],
      series: [
        { label: draw.x, value: (_, v) => (v == null ? "" : axis.read(v)) },
        ...draw.lines.map((line) => ({
          label: line.name,
          stroke: colour(`c${line.colour}`),
          width: line.style === "bars" ? 0 : 1.75,
          dash: line.style === "dashed" ? [6, 5] : undefined,
          fill: line.style === "bars" ? colour(`c${line.colour}`) : undefined,
          paths: paths[line.style],
          points: { show: draw.kind === "percentiles" || line.style ? false : undefined, size: 5 },
          spanGaps: true,
          value: (_, v) => (v == null ? "" : unit.read(v)),
        })),
      ],
    };
  }

  /** The lines over one x axis: as each has its own points, these are joined. */
  function data(draw) {
    const drawable = (v) => (v == null || (draw.logY && v <= 0) ? null : v);
    return uPlot.join(draw.lines.map((line) => [line.x, line.y.map(drawable)]));
  }

  class Chart {
    constructor(figure) {
      this.place = figure.querySelector(".plot");
      this.draw = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
      this.draw.lines = (this.draw.lines ?? []).filter((line) => line.x?.length);
      this.empty = this.draw.lines.every((line) => line.y.every((v) => !v));
      if (this.empty) {
        this.place.classList.add("empty");
        this.place.textContent = this.draw.lines.length ? `no ${this.draw.label} at any time` : "nothing was measured";
        return;
      }
      this.data = data(this.draw);
      this.tall = !figure.classList.contains("wide") ? 220 : this.draw.kind === "percentiles" ? 320 : 260;
      this.build();
      new ResizeObserver(() => this.fit()).observe(this.place);
    }

    build(width = this.place.clientWidth) {
      if (this.empty) return;
      this.plot?.destroy();
      this.plot = new uPlot(options(this.draw, width, this.tall), this.data, this.place);
    }

    fit() {
      const width = this.place.clientWidth;
      if (!root.classList.contains("print") && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.tall });
    }
  }

  const charts = [...document.querySelectorAll("figure.chart")].map((figure) => new Chart(figure));
  const redraw = (width) => charts.forEach((chart) => chart.build(width));
  dark.addEventListener("change", () => redraw());
  addEventListener("beforeprint", () => {
    root.classList.add("print");
    redraw(printWidth);
  });
  addEventListener("afterprint", () => {
    root.classList.remove("print");
    redraw();
  });
})();
