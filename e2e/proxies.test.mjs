// Behind nginx and HAProxy, everything is as without; and the server knows its clients, and keeps them.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { echo, refusals } from "./echo.mjs";
import { assertClose, Page, patience, tour } from "./page.mjs";
import { end, endAll, makeCertificate, startBrowser, startServer } from "./processes.mjs";
import { startHAProxy, startNginx } from "./proxies.mjs";

/** Dials /echo: gives the connection once it is open, or what it is refused with, a status or an alert of TLS. */
function dial({ host, secure }, options) {
  const ws = new WebSocket(`${secure ? "wss" : "ws"}://${host}/echo`, { rejectUnauthorized: false, ...options });
  return new Promise((resolve, reject) => {
    ws.on("open", () => resolve(ws));
    ws.on("unexpected-response", (_, response) => {
      response.destroy();
      resolve(response.statusCode);
    });
    ws.on("error", (err) => (/alert/.test(err.message) ? resolve("alert") : reject(err)));
  });
}

async function assertEchoes(ws, text) {
  ws.send(text);
  const [back] = await once(ws, "message");
  assert.equal(back.toString(), text);
}

/** Ends a proxy, and then its server, which must end well. */
async function endBoth(proxy, server) {
  await end(proxy.child);
  assert.equal(await end(server.child), 0);
}

const sleep = (ms) => new Promise((awake) => setTimeout(awake, ms));

// The groups run side by side: most of their time is waiting.
describe("behind a proxy", { concurrency: true }, () => {
  let browser;
  before(async () => {
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.stop();
    await endAll();
  });

  for (const [name, startProxy] of [["nginx", startNginx], ["HAProxy", startHAProxy]]) {
    describe(name, { concurrency: false }, () => {
      let server, proxy;
      before(async () => {
        server = await startServer();
        proxy = await startProxy(server);
      });

      test("the page", async (t) => tour(t, browser, proxy));
      test("5,000 echoes", async (t) => echo(t, proxy, { messages: 5000, connections: 4 }));
      test("refusals", async (t) => refusals(t, proxy));

      // Such a proxy makes the server's own page look like another site's.
      if (startProxy === startNginx) {
        test("an nginx that keeps the Host to itself: error, then 1006", async () => {
          const careless = await startNginx(server, { passHost: false });
          const page = await Page.open(browser, careless);
          await page.dial("/echo");
          await page.event({ kind: "error" });
          assertClose(await page.event({ kind: "close" }), 1006, "", false);
          assert.deepEqual(await page.kinds(), ["error", "close"]);
          await page.close();
        });
      }

      test("the server ends with exit code 0", async () => assert.equal(await end(server.child), 0));
    });
  }

  // With one connection for each client, those from two addresses tell whether the server knows them apart.
  describe("who is there", { concurrency: false }, () => {
    const local = (name) => join(process.env.E2E_WORK, name);
    const trusting = ["--trusted-proxy", "127.0.0.1/32"];
    const forwarded = ["--forwarded-header", "Forwarded"];
    const rows = [
      ["HAProxy, send-proxy", startHAProxy, { send: "send-proxy" }, ["--proxy-protocol", ...trusting]],
      ["HAProxy, send-proxy-v2", startHAProxy, { send: "send-proxy-v2" }, ["--proxy-protocol"]],
      ["HAProxy, send-proxy-v2 before TLS", startHAProxy, { send: "send-proxy-v2", mode: "tcp" }, ["--proxy-protocol", "--tls-self-signed"]],
      ["HAProxy, X-Forwarded-For", startHAProxy, { forwarded: "X-Forwarded-For" }, trusting],
      ["HAProxy, Forwarded", startHAProxy, { forwarded: "Forwarded" }, [...forwarded, ...trusting]],
      ["nginx, X-Forwarded-For", startNginx, { forwarded: true }, trusting],
      ["nginx, X-Forwarded-For, at a unix socket", startNginx, { forwarded: true, unix: local("server.sock") }, trusting],
    ];
    for (const [name, startProxy, options, flags] of rows) {
      test(name, async () => {
        const server = await startServer("--max-conns-per-ip", "1", ...flags, ...(options.unix ? ["--addr", `unix:${options.unix}`] : []));
        const proxy = await startProxy({ ...server, unix: options.unix }, options);
        const first = await dial(proxy, { localAddress: "127.0.0.2" });
        assert.ok(first instanceof WebSocket, `the first client is answered with ${first}`);
        const invented = { "X-Forwarded-For": "192.0.2.1", Forwarded: "for=192.0.2.1" };
        assert.equal(await dial(proxy, { localAddress: "127.0.0.2", headers: invented }), server.secure ? "alert" : 429);
        const second = await dial(proxy, { localAddress: "127.0.0.3", headers: invented });
        assert.ok(second instanceof WebSocket, `the second client is answered with ${second}`);
        await assertEchoes(first, "one");
        await assertEchoes(second, "two");
        first.close();
        await once(first, "close");
        let again;
        for (const late = Date.now() + patience; Date.now() < late && !(again instanceof WebSocket); await sleep(10)) { // it hears of the end a moment later
          again = await dial(proxy, { localAddress: "127.0.0.2" });
        }
        assert.ok(again instanceof WebSocket, `the first client comes back and is answered with ${again}`);
        if (options.send && options.mode !== "tcp") await assertHealthy(proxy);
        await endBoth(proxy, server);
      });
    }

    /** Waits until HAProxy has asked after its server's health, for itself (LOCAL), and has heard that it is well. */
    async function assertHealthy({ host }) {
      let rows = [];
      for (const late = Date.now() + patience; Date.now() < late; await sleep(50)) {
        const [names, ...servers] = (await (await fetch(`http://${host}/haproxy;csv`)).text()).replace("# ", "").split("\n").map((line) => line.split(","));
        rows = servers.map((values) => Object.fromEntries(names.map((name, i) => [name, values[i]])));
        const status = rows.find((row) => row.svname === "headrace")?.check_status;
        if (status === "L7OK") return;
        assert.match(status, /^(INI|\* .*)?$/);
      }
      assert.fail(JSON.stringify(rows));
    }

    // All clients are the proxy then.
    for (const [name, startProxy, options, flags] of [
      ["nginx that nobody trusts, X-Forwarded-For", startNginx, { forwarded: true }, []],
      ["HAProxy that isn't the one that is trusted, Forwarded", startHAProxy, { forwarded: "Forwarded" }, [...forwarded, "--trusted-proxy", "127.0.0.9/32"]],
    ]) {
      test(`${name}: not believed`, async () => {
        const server = await startServer("--max-conns-per-ip", "1", ...flags);
        const proxy = await startProxy(server, options);
        assert.ok((await dial(proxy, { localAddress: "127.0.0.2" })) instanceof WebSocket);
        assert.equal(await dial(proxy, { localAddress: "127.0.0.3" }), 429);
        await endBoth(proxy, server);
      });
    }

    test("a connection without a PROXY header is cut, and others live", async () => {
      const server = await startServer("--proxy-protocol");
      const proxy = await startHAProxy(server, { send: "send-proxy-v2" });
      const ws = await dial(proxy);
      const [address, port] = server.host.split(":");
      for (const sent of ["GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "PROXY nonsense\r\n", `\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c${"x".repeat(12)}`]) {
        const socket = connect(Number(port), address);
        let said = "";
        socket.on("data", (chunk) => (said += chunk));
        socket.on("error", () => {});
        socket.write(Buffer.from(sent, "latin1"));
        await once(socket, "close");
        assert.equal(said, "");
      }
      await assertEchoes(ws, "still here");
      await endBoth(proxy, server);
    });

    // The client's TLS ends at the proxy, which says so.
    for (const header of ["X-Forwarded-For", "Forwarded"]) {
      test(`wss that ends at HAProxy, ${header}: the page must have come by https`, async () => {
        const server = await startServer(...trusting, "--forwarded-header", header);
        const proxy = await startHAProxy(server, { forwarded: header, certificate: makeCertificate() });
        await assertEchoes(await dial(proxy, { origin: `https://${proxy.host}` }), "by https");
        assert.equal(await dial(proxy, { origin: `http://${proxy.host}` }), 403);
        await endBoth(proxy, server);
      });
    }
  });

  describe("idle connections", { concurrency: true }, () => {
    const proxies = [["nginx", startNginx], ["HAProxy", startHAProxy]];
    for (const [name, startProxy] of proxies) {
      // One that is cut because a process stood still for 2 s says nothing: it is tried again.
      test(`${name} cuts after 2 s: pings keep a connection for 5 s`, async () => {
        const server = await startServer("--ping-interval", "500ms");
        const proxy = await startProxy(server, { idle: 2 });
        let ws, pings;
        for (let tries = 3; tries > 0 && ws?.readyState !== WebSocket.OPEN; tries--) {
          ws = await dial(proxy);
          pings = 0;
          ws.on("ping", () => pings++);
          await Promise.race([sleep(5000), once(ws, "close")]);
        }
        assert.equal(ws.readyState, WebSocket.OPEN, `closed after ${pings} pings`);
        assert.ok(pings >= 2, `${pings} pings`); // without any it is cut
        await assertEchoes(ws, "still here");
        await endBoth(proxy, server);
      });

      test(`${name} cuts after 2 s, if there are no pings`, async () => {
        const server = await startServer("--ping-interval", "0");
        const proxy = await startProxy(server, { idle: 2 });
        const ws = await dial(proxy);
        const [code] = await once(ws, "close", { signal: AbortSignal.timeout(10_000) });
        assert.equal(code, 1006);
        await endBoth(proxy, server);
      });
    }
  });
});
