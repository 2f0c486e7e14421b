// permessage-deflate with the ws client of Node.js, which compresses by zlib: every mode of the server, and the four in which
// a client may ask for takeover.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { echo } from "./echo.mjs";
import { end, endAll, startServer } from "./processes.mjs";

const takeover = [false, true].flatMap((serverNoContextTakeover) =>
  [false, true].map((clientNoContextTakeover) => ({ serverNoContextTakeover, clientNoContextTakeover })));

const deflate = (options) => ({ perMessageDeflate: { threshold: 0, ...options } });

/** Sends ticks as a feed would, one at a time, and gives the bytes on the wire over the bytes of text, each way. */
async function ratios(url, options) {
  const ws = new WebSocket(url, deflate(options));
  await once(ws, "open");
  const [readBefore, writtenBefore] = [ws._socket.bytesRead, ws._socket.bytesWritten];
  let bytes = 0;
  for (let seq = 0; seq < 300; seq++) {
    const tick = JSON.stringify({
      type: "tick", symbol: ["ACME", "GLOBEX", "INITECH"][seq % 3], seq, bid: 101.25 + (seq % 7) / 100, ask: 101.27 + (seq % 7) / 100,
      bidSize: 100 * (seq % 13), askSize: 100 * (seq % 11), venue: "XHDR", conditions: ["regular", "open"], time: `2026-01-01T00:00:${seq}`,
    });
    ws.send(tick);
    const [back] = await once(ws, "message");
    assert.equal(back.toString(), tick);
    bytes += tick.length;
  }
  const [read, written] = [ws._socket.bytesRead - readBefore, ws._socket.bytesWritten - writtenBefore];
  ws.close();
  await once(ws, "close");
  return { fromServer: read / bytes, fromClient: written / bytes };
}

describe("compression", () => {
  after(endAll);

  describe("with takeover both ways", () => {
    let server;
    before(async () => {
      server = await startServer("--compression", "takeover");
    });
    for (const mode of takeover) {
      test(`10,000 messages, ${JSON.stringify(mode)}`, async (t) => {
        const stats = await echo(t, server, {
          messages: 10_000, connections: 4, largest: 1 << 16, client: deflate(mode), extensions: /^permessage-deflate/,
        });
        // Half of the messages are text of a small alphabet, the others random bytes.
        assert.ok(stats.read < 0.9 * stats.bytes, `${stats.read} bytes came for ${stats.bytes}`);
        assert.ok(stats.written < 0.9 * stats.bytes, `${stats.written} bytes went for ${stats.bytes}`);
      });
    }
    test("a client without the extension is served without", async (t) =>
      echo(t, server, { messages: 800, connections: 4, client: { perMessageDeflate: false } }));
    test("the server ends with exit code 0", async () => assert.equal(await end(server.child), 0));
  });

  // What ticks of 200 bytes come to. Without takeover there is little to find in so short a text.
  for (const [mode, most] of Object.entries({
    history: { fromServer: 0.5, fromClient: 1 },
    takeover: { fromServer: 0.5, fromClient: 0.5 },
    single: { fromServer: 1, fromClient: 1 },
    full: { fromServer: 0.5, fromClient: 0.5 },
  })) {
    test(`--compression ${mode}`, async (t) => {
      const server = await startServer("--compression", mode);
      const got = await ratios(`ws://${server.host}/echo`);
      t.diagnostic(`from the server ${got.fromServer.toFixed(2)}, from the client ${got.fromClient.toFixed(2)} of the text`);
      assert.ok(got.fromServer < most.fromServer && got.fromClient < most.fromClient, JSON.stringify(got));
      await echo(t, server, { messages: 2000, connections: 4, largest: 1 << 16, client: deflate(), extensions: /^permessage-deflate/ });
      assert.equal(await end(server.child), 0);
    });
  }

  test("off by default: no extension is agreed on", async (t) => {
    const server = await startServer();
    await echo(t, server, { messages: 200, connections: 2, client: deflate(), extensions: /^$/ });
    assert.equal(await end(server.child), 0);
  });
});
