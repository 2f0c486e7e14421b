// wss: the ws client, Chromium, and openssl s_client with what a hostile or an old peer does.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { echo, refusals } from "./echo.mjs";
import { tour } from "./page.mjs";
import { end, endAll, startBrowser, startServer } from "./processes.mjs";

const request = (host) => [
  "GET /echo HTTP/1.1", `Host: ${host}`, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
].join("\r\n");

/** Runs openssl s_client and gives what it says. input goes to the server; the client is ended once until matches, or at its end. */
async function sClient(host, args, { input = "", until = /$^/ } = {}) {
  const child = spawn("openssl", ["s_client", "-connect", host, "-quiet", "-verify_quiet", ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  const late = setTimeout(() => child.kill(), 15_000);
  const take = (chunk) => {
    said += chunk.toString("latin1");
    if (until.test(said)) child.kill();
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  child.stdin.on("error", () => {});
  child.stdin.write(input);
  await once(child, "close");
  clearTimeout(late);
  return said;
}

/** Sends bytes to a port, and gives what comes back until the other side ends the connection. */
async function raw(host, bytes) {
  const [address, port] = host.split(":");
  const socket = connect(Number(port), address);
  const got = [];
  socket.on("data", (chunk) => got.push(chunk));
  socket.on("error", () => {});
  socket.write(bytes);
  await once(socket, "close");
  return Buffer.concat(got);
}

describe("wss", () => {
  let browser, server;
  const client = { rejectUnauthorized: false };
  before(async () => {
    server = await startServer("--tls-self-signed", "--compression", "history");
    assert.ok(server.secure);
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.stop();
    await endAll();
  });

  test("Chromium: the page over https, its connections over wss", async (t) => tour(t, browser, server));

  test("10,000 echoes", async (t) =>
    echo(t, server, { messages: 10_000, connections: 8, client: { ...client, perMessageDeflate: false } }));
  test("2,000 compressed echoes", async (t) =>
    echo(t, server, { messages: 2000, connections: 4, largest: 1 << 16, client, extensions: /^permessage-deflate/ }));

  for (const version of ["-tls1_2", "-tls1_3"]) {
    test(`openssl s_client ${version}: the handshake, and a text echoed`, async () => {
      // "hi", masked with zeros
      const input = request(server.host) + String.fromCharCode(0x81, 0x82, 0, 0, 0, 0) + "hi";
      const said = await sClient(server.host, [version], { input, until: /\x81\x02hi|\xc2\x81\x02hi/ });
      assert.match(said, /HTTP\/1\.1 101/);
      assert.match(said, /s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
    });
  }

  test("openssl s_client -tls1_1: refused with an alert", async () => {
    const said = await sClient(server.host, ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert.match(said, /alert protocol version|unsupported protocol|no protocols available/i);
  });

  test("openssl s_client -alpn h2: refused, nothing here speaks HTTP/2", async () => {
    const said = await sClient(server.host, ["-alpn", "h2"]);
    assert.match(said, /no application protocol/i);
  });

  test("plain HTTP to the TLS port is told so; other bytes get an alert", async () => {
    assert.match((await raw(server.host, request(server.host))).toString(), /^HTTP\/1\.0 400 [^]*https or wss/);
    assert.equal((await raw(server.host, "\x00\x01\x02\x03\x04\x05\x06\x07"))[0], 0x15);
  });

  test("half a handshake is ended, and holds up nobody", async (t) => {
    const began = Date.now();
    const hello = Buffer.from("16030100c8010000c40303", "hex"); // the begin of a ClientHello
    const halves = Array.from({ length: 50 }, () => raw(server.host, hello));
    await echo(t, server, { messages: 80, connections: 4, client: { ...client, perMessageDeflate: false } });
    assert.ok(Date.now() - began < 9000, "the echoes waited for the half handshakes");
    await Promise.all(halves);
    assert.ok(Date.now() - began > 8000, "they were not ended by the timeout, which is 10 s");
  });

  test("what a TLS port refuses", async (t) => refusals(t, server));
  test("the server ends with exit code 0", async () => assert.equal(await end(server.child), 0));
});
