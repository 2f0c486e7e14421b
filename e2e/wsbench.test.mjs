// wsbench against servers that are not ours: ws on Node.js, gorilla/websocket and Bun, over plain and TLS. They echo as they
// should, so nothing may be wrong.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHTTP } from "node:http";
import { createServer as createHTTPS } from "node:https";
import { after, before, describe, test } from "node:test";
import { WebSocketServer } from "ws";
import { build, end, makeCertificate, startProgram } from "./processes.mjs";
import { bench, errorsOf } from "./wsbench.mjs";

const bun = "node_modules/.bin/bun";
const jobs = {
  ws: {
    "open loop, binary": ["--rate", "2000", "--size", "20-2000"],
    "closed loop, text": ["--inflight", "4", "--patience", "20s", "--text", "--size", "40"],
    "open loop, text, compressed": ["--rate", "1000", "--text", "--compress", "--size", "300"],
  },
  wss: {
    "open loop, text": ["--rate", "1000", "--text", "--size", "16-200"],
    "closed loop, binary, compressed": ["--inflight", "2", "--patience", "20s", "--compress", "--size", "100-70000"],
  },
};
const [conns, seconds] = [20, 0.5];

/** Starts ws in this process; gives its host. */
async function startWs(tls) {
  const web = tls ? createHTTPS({ key: readFileSync(tls.key), cert: readFileSync(tls.cert) }) : createHTTP();
  const wss = new WebSocketServer({ server: web, perMessageDeflate: { threshold: 0 } });
  wss.on("connection", (ws) => ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary })));
  await once(web.listen(0, "127.0.0.1"), "listening");
  return { host: `127.0.0.1:${web.address().port}`, stop: () => (wss.clients.forEach((c) => c.terminate()), web.close()) };
}

/** Starts a program that serves; gives its host. */
async function startOther(program, tls, ...args) {
  const { child, host } = await startProgram(program, ...args, ...(tls ? [tls.cert, tls.key] : []));
  return { host, stop: () => end(child) };
}

/** Says why Bun cannot be run here; false if it can. */
function noBun() {
  try {
    execFileSync(bun, ["--version"], { stdio: "ignore" });
    return false;
  } catch (why) {
    return `npm has no Bun that runs here: ${why.message}`;
  }
}

const servers = {
  ws: { start: startWs },
  "gorilla/websocket": { start: (tls) => startOther(build("bench/peers", "echo"), tls) },
  Bun: { start: (tls) => startOther(bun, tls, "bun-echo.mjs"), skip: noBun() },
};

for (const [name, { start: startServer, skip }] of Object.entries(servers)) {
  describe(`wsbench against ${name}`, { skip }, () => {
    let tls;
    before(() => (tls = makeCertificate()));
    for (const scheme of ["ws", "wss"]) {
      describe(scheme, () => {
        let server;
        before(async () => (server = await startServer(scheme === "wss" && tls)));
        after(() => server.stop());
        for (const [job, args] of Object.entries(jobs[scheme])) {
          test(job, async () => {
            const { code, said, result } = await bench(`${scheme}://${server.host}/`, ...args, ...(scheme === "wss" ? ["--ca", tls.cert] : []),
              "--conns", conns, "--warmup", "100ms", "--duration", `${seconds}s`, "--fail-if", "errors>0", "--fail-if", "refused>0");
            const { sent, received } = result.counts;
            assert.equal(code, 0, said);
            assert.deepEqual(errorsOf(result.counts), {});
            assert.match(said, /every byte of every message came back once, in order/);
            assert.equal(received, sent);
            if (result.rate) assert.ok(Math.abs(sent - result.rate * seconds) <= conns, `${sent} sent of ${result.rate * seconds}`);
            else assert.ok(sent > 0, "nothing was sent once the warm-up was over");
          });
        }
      });
    }
  });
}
