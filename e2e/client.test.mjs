import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { echo, refusals } from "./echo.mjs";
import { end, endAll, startServer } from "./processes.mjs";

describe("ws, the client of Node.js", () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(endAll);

  test("10,000 echoes", async (t) => echo(t, server, { messages: 10_000, connections: 8 }));
  test("refusals", async (t) => refusals(t, server));
  test("the server ends with exit code 0", async () => assert.equal(await end(server.child), 0));
});
