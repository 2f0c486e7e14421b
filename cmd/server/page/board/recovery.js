// What a subscription has brought before it was live, in words.

const $ = (id) => document.getElementById(id);

const tellMs = 8_000;
const whole = new Intl.NumberFormat("en");
let timer = 0;

const plural = (n, what) => `${whole.format(n)} ${what}${n === 1 ? "" : "s"}`;

/** Gives the words for what Feed tells of when it is live. */
export function comeBack({ asked, again, messages, topics, missing, snapshots, lost }, latest) {
  if (!asked) return `Live: a snapshot of ${plural(snapshots, "topic")}`;
  const parts = [];
  if (topics || !snapshots) parts.push(`recovered ${plural(messages, "message")} in ${plural(topics, "topic")}`);
  if (snapshots) parts.push(`a snapshot of ${plural(snapshots, "topic")}`);
  if (lost) parts.push(`of ${plural(lost, "topic")} what was missed is gone`);
  else if (missing) parts.push(`${plural(missing, "message")} missing`);
  else parts.push(latest ? "the newest of each" : "nothing is missing");
  return `${again ? (latest ? "Latest" : "Queue") : "Back"}: ${parts.join(", ")}`;
}

/** Says what a cut has brought back: for a while, or until something else happens. */
export function sayRecovery(text, tone) {
  clearTimeout(timer);
  Object.assign($("recovery"), { value: text, className: tone });
  if (text) timer = setTimeout(sayRecovery, tellMs, "", "");
}
