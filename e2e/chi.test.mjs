// examples/chi: connections that a router of net/http hands over to the loops.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { Agent, get } from "node:http";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { WebSocket } from "ws";
import { echo } from "./echo.mjs";
import { build, end, endAll, startProgram } from "./processes.mjs";

describe("a service with the chi router", () => {
  let service;
  before(async () => {
    service = await startProgram(build("examples/chi"), "-addr", "127.0.0.1:0");
  });
  after(endAll);

  const status = async (path, options) => (await fetch(`http://${service.host}${path}`, options)).status;

  test("its own routes", async () => {
    const { stdout } = await promisify(execFile)("curl", ["-sS", "--max-time", "20", `http://${service.host}/`]);
    assert.equal(stdout, "open a WebSocket to /rooms/{name}\n");
    assert.equal(await status("/nothing"), 404);
    assert.equal(await status("/", { method: "POST" }), 405);
    assert.equal(await status("/rooms/blue"), 426);
  });

  // Many connections, since each may send 100 pings in a second.
  test("600 echoes in a room", async (t) =>
    echo(t, service, { messages: 600, connections: 20, path: "/rooms/blue", greeting: "welcome to blue" }));

  test("another origin: 403", async () => {
    const ws = new WebSocket(`ws://${service.host}/rooms/blue`, { origin: "https://example.com" });
    const [, response] = await once(ws, "unexpected-response");
    assert.equal(response.statusCode, 403);
    response.destroy();
  });

  test("a page and a room on one connection", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const request = get(`http://${service.host}/`, { agent });
    const [page] = await once(request, "response");
    assert.equal(page.statusCode, 200);
    await page.toArray();
    const ws = new WebSocket(`ws://${service.host}/rooms/green`, { agent });
    const [[handshake], [greeting]] = await Promise.all([once(ws, "upgrade"), once(ws, "message")]);
    assert.equal(handshake.socket.localPort, request.socket.localPort);
    assert.equal(greeting.toString(), "welcome to green");
    ws.terminate();
  });

  test("its end: 1001, and exit code 0", async () => {
    const ws = new WebSocket(`ws://${service.host}/rooms/red`);
    await once(ws, "message");
    const [[code], exit] = await Promise.all([once(ws, "close"), end(service.child, "SIGINT")]);
    assert.equal(code, 1001);
    assert.equal(exit, 0);
  });
});
