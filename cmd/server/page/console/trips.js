// The round trips: the newest, what they come to, and their line.

import { ms } from "../words.js";

const $ = (id) => document.getElementById(id);

const maxTrips = 60; // in the line

let trips = [];

/** Shows one more. */
export function addTrip(trip) {
  trips = [...trips, trip].slice(-maxTrips);
  const sorted = trips.toSorted((a, b) => a - b);
  $("rtt").value = ms(trip);
  $("rtts").textContent = `median ${ms(sorted[sorted.length >> 1])}, best ${ms(sorted[0])}, worst ${ms(sorted.at(-1))}`;
  drawTrips();
}

/** Draws them anew, at the size that the line has now. */
export function drawTrips() {
  if (trips.length === 0) return;
  const worst = Math.max(...trips);
  const svg = $("spark");
  const { width, height } = svg.getBoundingClientRect();
  const left = width - 4;
  const step = left / (Math.max(trips.length, 20) - 1);
  const points = trips.map((t, i) => [left - (trips.length - 1 - i) * step, height - 3 - (t / worst) * (height - 8)]);
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
  const [x, y] = points.at(-1);
  svg.querySelector(".line").setAttribute("d", `M${line}`);
  svg.querySelector(".area").setAttribute("d", `M${points[0][0].toFixed(1)},${height}L${line}L${x.toFixed(1)},${height}Z`);
  svg.querySelector("circle").setAttribute("cx", x);
  svg.querySelector("circle").setAttribute("cy", y);
  svg.classList.toggle("live", trips.length > 4); // fewer are no curve
}
