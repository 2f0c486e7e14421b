// A connection, in the best way that the browser has. A WebSocketStream is read: what the page does not take stays in the
// browser's buffers, then in the kernels', then in the server's queue. A WebSocket can't be read slowly, it calls.

// Only a secure context has it: https, or the browser's own machine. ?websocket in the page's address does without.
export const hasStream = "WebSocketStream" in globalThis && !new URLSearchParams(location.search).has("websocket");

/**
 * Opens a connection. `on` is called: opened(), message(text), closed({ code, reason, clean }), the last once, at the end.
 * `turn` is asked before each reading, and may give a promise to wait for.
 */
export const open = (url, protocol, on, turn) => (hasStream ? new Stream(url, protocol, on, turn) : new Events(url, protocol, on));

const decoder = new TextDecoder();
const textOf = (data) => (typeof data === "string" ? data : decoder.decode(data));

const breathMs = 10;
const breath = new MessageChannel();
const breathing = []; // a stream that was left reads on for a moment beside the next one
breath.port1.onmessage = () => breathing.shift()();

/** Ends the task, so that input and drawing have their turn: reading what is there already does not. */
function breathe() {
  return new Promise((done) => {
    breathing.push(done);
    breath.port2.postMessage(0);
  });
}

class Stream {
  #breathed = 0;
  #left = false;
  #stream;
  #reader;
  #writer;

  constructor(url, protocol, on, turn) {
    this.#stream = new WebSocketStream(url, { protocols: [protocol] });
    this.#run(on, turn);
  }

  async #run(on, turn) {
    const ended = this.#stream.closed.then(
      ({ closeCode, reason }) => ({ code: closeCode ?? 1005, reason: reason ?? "", clean: true }),
      (e) => ({ code: e.closeCode ?? 1006, reason: e.reason ?? "", clean: false }),
    );
    const streams = await this.#stream.opened.catch(() => null);
    if (streams) {
      this.#reader = streams.readable.getReader();
      this.#writer = streams.writable.getWriter();
      on.opened();
      for (let text; (text = await this.#read(turn)) !== undefined; ) if (!this.#left) on.message(text);
    }
    on.closed(await ended);
  }

  /** The next message, undefined after the last. */
  async #read(turn) {
    const wait = this.#left ? null : turn();
    if (wait) await wait;
    if (performance.now() - this.#breathed > breathMs) {
      await breathe();
      this.#breathed = performance.now();
    }
    const { value, done } = await this.#reader.read().catch(() => ({ done: true })); // `closed` says why
    return done ? undefined : textOf(value);
  }

  send(text) {
    this.#writer?.write(text).catch(() => {}); // after an error `closed` follows
  }

  close(code, reason) {
    this.#left = true; // what comes is read, and thrown away: the Close frame stands behind it
    this.#stream.close({ closeCode: code, reason });
  }
}

class Events {
  #socket;

  constructor(url, protocol, on) {
    this.#socket = new WebSocket(url, protocol);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => on.opened();
    this.#socket.onmessage = ({ data }) => on.message(textOf(data));
    this.#socket.onclose = ({ code, reason, wasClean }) => on.closed({ code, reason, clean: wasClean });
  }

  send(text) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  close(code, reason) {
    this.#socket.close(code, reason);
  }
}
