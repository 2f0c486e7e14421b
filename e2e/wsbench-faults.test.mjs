// wsbench against a server with known faults (ws on Node.js): it must find what is wrong, and as often as it was done.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { WebSocketServer } from "ws";
import { bench, errorsOf } from "./wsbench.mjs";

const every = 100; // one message in so many is treated badly
const conns = 20;

/** A server of faults; made is how often the one that the path names has happened. */
class Faulty {
  made = 0;
  #messages = 0;
  #handshakes = 0;
  #stalled = 0;
  #web = createServer();
  #wss = new WebSocketServer({ noServer: true });

  async start() {
    this.#web.on("upgrade", (request, socket, head) => {
      if (request.url === "/refuse" && ++this.#handshakes % 10 === 0) {
        this.made++;
        socket.end("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      this.#wss.handleUpgrade(request, socket, head, (ws) => {
        ws.on("message", (data) => this[request.url.slice(1)](ws, data, ++this.#messages % every === 0));
      });
    });
    await once(this.#web.listen(0, "127.0.0.1"), "listening");
    this.url = `ws://127.0.0.1:${this.#web.address().port}`;
  }

  stop() {
    for (const ws of this.#wss.clients) ws.terminate();
    this.#web.close();
  }

  refuse(ws, data) {
    ws.send(data);
  }

  corrupt(ws, data, bad) {
    if (bad) this.made++, (data[data.length - 1] ^= 1);
    ws.send(data);
  }

  drop(ws, data, bad) {
    if (bad) this.made++;
    else ws.send(data);
  }

  double(ws, data, bad) {
    if (bad) this.made++, ws.send(data);
    ws.send(data);
  }

  /** Holds a message back until its connection's next has gone. */
  reorder(ws, data, bad) {
    if (bad && !ws.held) {
      ws.held = data;
      return;
    }
    ws.send(data);
    if (ws.held) {
      this.made++;
      ws.send(ws.held);
      ws.held = undefined;
    }
  }

  /** Stands still for 200 ms once a second, as a collector of garbage does. */
  stall(ws, data) {
    if (performance.now() - this.#stalled > 1000) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
      this.#stalled = performance.now();
      this.made++;
    }
    ws.send(data);
  }

  close(ws, data, bad) {
    if (ws.readyState !== ws.OPEN) return;
    if (bad) {
      this.made++;
      ws.close(4001, "at the hundredth");
    } else {
      ws.send(data);
    }
  }
}

describe("wsbench against a server with faults", () => {
  let server;
  before(async () => {
    server = new Faulty();
    await server.start();
  });
  after(() => server.stop());

  /** Runs wsbench against one fault, and gives the result with what was done. */
  async function against(fault, ...args) {
    server.made = 0;
    const ran = await bench(`${server.url}/${fault}`, "--conns", conns, "--warmup", "0s", ...args);
    return { ...ran, made: server.made, errors: errorsOf(ran.result.counts) };
  }
  const steady = ["--rate", "2000", "--duration", "1s"];

  for (const [fault, name] of Object.entries({ drop: "lost", double: "duplicated" })) {
    test(`1 in ${every}: ${name}`, async () => {
      const { code, made, errors, result } = await against(fault, ...steady, "--fail-if", "errors>0");
      assert.ok(made >= 15, `${made} made`);
      assert.deepEqual(errors, { [name]: made });
      assert.equal(result.counts.received, result.counts.sent - (errors.lost ?? 0));
      assert.equal(code, 3);
    });
  }

  test(`1 in ${every}: corrupt`, async () => {
    const { made, errors, said } = await against("corrupt", ...steady);
    assert.ok(made >= 15, `${made} made`);
    assert.deepEqual(errors, { corrupt: made, lost: made }); // what was spoiled has not come back
    assert.match(said, new RegExp(`${made} corrupt`));
  });

  test(`1 in ${every}: reordered`, async () => {
    const { made, errors } = await against("reorder", ...steady);
    assert.ok(made >= 10, `${made} made`);
    assert.equal(errors.reordered, made);
    assert.ok((errors.lost ?? 0) <= conns, `${errors.lost} lost: more than the server can hold back`);
  });

  test("stalls show in an open loop", async () => {
    const { code, said, made, errors } = await against("stall", "--rate", "1000", "--duration", "4s", "--fail-if", "max<180ms", "--fail-if", "p95<60ms");
    assert.equal(code, 0, said);
    assert.ok(made >= 2, `${made} made`);
    assert.deepEqual(errors, {});
  });

  // One connection has one message that waits for each stall, and hundreds that don't, however slow the machine is.
  test("and a closed loop hides them", async () => {
    const { code, said, made } = await against("stall", "--inflight", "1", "--conns", "1", "--duration", "4s", "--fail-if", "p95>60ms", "--fail-if", "max<180ms");
    assert.equal(code, 0, said);
    assert.ok(made >= 2, `${made} made`);
  });

  test("each tenth handshake is refused", async () => {
    const { made, errors, result } = await against("refuse", "--rate", "500", "--duration", "300ms", "--conns", "100");
    assert.equal(made, 10);
    assert.deepEqual(result.refused, { "answered with 503 Service Unavailable": 10 });
    assert.deepEqual(errors, {});
  });

  test("connections that the server closes", async () => {
    const { made, errors, result } = await against("close", "--rate", "1000", "--duration", "500ms", "--conns", "100");
    assert.ok(made > 0, "none closed");
    assert.equal(errors.dropped, made);
    assert.deepEqual(result.ended, { "closed with 4001 at the hundredth": made });
  });
});
