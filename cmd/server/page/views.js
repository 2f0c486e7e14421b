// The views of the page. One is shown: the one that the address names behind the #, else the one that the server has put first.

const root = document.documentElement;
const first = root.dataset.view;
const titles = { ticks: "Ticks", console: "Console" };
const watched = {}; // name of a view: { enter, leave }
let shown = "";

/** Calls enter() when a view has appeared, at once where it is there already, and leave() before it goes. */
export function onView(name, { enter, leave }) {
  watched[name] = { enter, leave };
  if (name === shown) enter();
}

function show(name) {
  if (name === shown) return;
  watched[shown]?.leave();
  shown = root.dataset.view = name;
  document.title = `${titles[name]} – Headrace`;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  watched[name]?.enter();
}

function showNamed() {
  const name = location.hash.slice(1);
  show(Object.hasOwn(titles, name) ? name : first);
}

addEventListener("hashchange", showNamed);
showNamed();
