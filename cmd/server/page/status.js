// The state of a view's connection: a dot with words at the top, the colour of its button, and a dot on its link.

/** `state` is closed, connecting, open or closing. */
export function tell(view, state, text) {
  const status = document.getElementById(`${view}-status`);
  status.querySelector(".said").textContent = text;
  for (const e of [status, document.getElementById(view), document.querySelector(`.views a[href="#${view}"]`)]) e.dataset.state = state;
}
