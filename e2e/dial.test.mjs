// The engine's client role against servers of Node.js: ws, with and without compression, over plain and TLS.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHTTP } from "node:http";
import { createServer as createHTTPS } from "node:https";
import { before, describe, test } from "node:test";
import { promisify } from "node:util";
import { WebSocketServer } from "ws";
import { build, makeCertificate } from "./processes.mjs";

/** Starts an echo server of ws; gives its URL. */
async function startEcho(options, tls) {
  const web = tls ? createHTTPS(tls) : createHTTP();
  const wss = new WebSocketServer({ server: web, maxPayload: 4 << 20, ...options });
  wss.on("connection", (ws) => ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary })));
  await once(web.listen(0, "127.0.0.1"), "listening");
  return {
    url: `${tls ? "wss" : "ws"}://127.0.0.1:${web.address().port}/`,
    stop: () => {
      for (const client of wss.clients) client.terminate();
      web.close();
    },
  };
}

describe("the client role, with servers of Node.js", () => {
  let dialer, tls;
  before(() => {
    dialer = build(".", "e2e/dialer");
    const { key, cert } = makeCertificate();
    tls = { key: readFileSync(key), cert: readFileSync(cert) };
  });

  const dial = (url, ...args) => promisify(execFile)(dialer, ["-url", url, ...args]);

  for (const secure of [false, true]) {
    for (const mode of ["off", "history", "takeover", "single", "full"]) {
      test(`${secure ? "wss" : "ws"}, compression ${mode}`, async (t) => {
        const server = await startEcho({ perMessageDeflate: mode !== "off" && { threshold: 0 } }, secure && tls);
        t.after(server.stop);
        const { stdout } = await dial(server.url, "-compression", mode, ...(secure ? ["-insecure"] : []));
        assert.equal(stdout, "4000 messages came back\n");
      });
    }
  }

  test("a certificate of nobody is refused", async (t) => {
    const server = await startEcho({}, tls);
    t.after(server.stop);
    await assert.rejects(dial(server.url), /certificate/);
  });

  test("a server that is none is told apart", async (t) => {
    const web = createHTTP((_, res) => res.writeHead(403).end("no"));
    await once(web.listen(0, "127.0.0.1"), "listening");
    t.after(() => web.close());
    await assert.rejects(dial(`ws://127.0.0.1:${web.address().port}/`), /403 Forbidden/);
  });
});
