import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { echo, refusals } from "./echo.mjs";
import { assertClose, Page, tour } from "./page.mjs";
import { end, endAll, startBrowser, startNginx, startServer } from "./processes.mjs";

describe("behind nginx", () => {
  let browser, server, nginx;
  before(async () => {
    server = await startServer();
    nginx = await startNginx(server);
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.stop();
    await endAll();
  });

  test("the page", async (t) => tour(t, browser, nginx));
  test("10,000 echoes", async (t) => echo(t, nginx, { messages: 10_000, connections: 8 }));
  test("refusals", async (t) => refusals(t, nginx));

  // Such a proxy makes the server's own page look like another site's.
  test("an nginx that keeps the Host to itself: error, then 1006", async () => {
    const careless = await startNginx(server, { passHost: false });
    const page = await Page.open(browser, careless);
    await page.dial("/echo");
    await page.event({ kind: "error" });
    assertClose(await page.event({ kind: "close" }), 1006, "", false);
    assert.deepEqual(await page.kinds(), ["error", "close"]);
    await page.close();
  });

  test("the server ends with exit code 0", async () => assert.equal(await end(server.child), 0));
});
