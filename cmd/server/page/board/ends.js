// What the end of a connection means, in words, and what can be done.

import { codeNames } from "../words.js";

const retry = new Set([1001, 1005, 1006, 1011, 1012]); // what may be better in a moment

/**
 * Gives { title, text, offers, comesBack } for a close that the page did not ask for. `offers` are names of what the user may do:
 * "reconnect", "latest". `slow` says whether the page is slow on purpose.
 */
export function explain({ code, reason, opened, mode, slow }) {
  const title = `${code} ${codeNames[code] ?? ""}${reason ? `: ${reason}` : ""}`;
  if (!opened) return { title: "No connection", text: "The server does not answer at /feed.", offers: ["reconnect"], comesBack: true };
  if (code === 1013 && mode === "queue") {
    return {
      title,
      text: "This page has read more slowly than the ticks came. In Queue mode none may be left out, so they have piled up in the "
        + "server's queue for this connection, until it was full. Then the server gives up the connection and not its memory. "
        + "A new connection gets what is missing, as long as the server still has it.",
      offers: ["reconnect", "latest"],
      comesBack: false,
    };
  }
  if (code === 1006 && mode === "queue" && slow) {
    return {
      title,
      text: "The connection broke without a Close frame. Most likely the ticks have piled up until the server's queue for this page was "
        + "full. It says so with 1013, behind what it has sent before, and cuts a page that reads too slowly to come so far.",
      offers: ["reconnect", "latest"],
      comesBack: false,
    };
  }
  const texts = {
    1001: "The server is going down, or has let go of this connection.",
    1006: "The connection broke without a Close frame: the network, a server that vanished, or one that has cut a "
      + "page that read too slowly to come to that frame.",
    1008: "The server found that this page broke one of its rules.",
    1012: "The server starts again.",
    1013: "The server has no room now.",
  };
  return { title, text: texts[code] ?? "The server closed the connection.", offers: ["reconnect"], comesBack: retry.has(code) };
}
