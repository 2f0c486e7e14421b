// What the end of a connection means, in words, and what can be done.

import { codeNames } from "../words.js";

const retry = new Set([1001, 1005, 1006, 1011, 1012]); // what may be better in a moment

/**
 * Gives { title, text, offers, comesBack } for a close that the page did not ask for. `offers` are names of what the user may do:
 * "reconnect", "latest".
 */
export function explain({ code, reason, opened, mode }) {
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
  const texts = {
    1001: "The server is going down, or has let go of this connection.",
    1006: "The connection broke without a Close frame: the network, or a server that vanished.",
    1008: "The server found that this page broke one of its rules.",
    1012: "The server starts again.",
    1013: "The server has no room now.",
  };
  return { title, text: texts[code] ?? "The server closed the connection.", offers: ["reconnect"], comesBack: retry.has(code) };
}
