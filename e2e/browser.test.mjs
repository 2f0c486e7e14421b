import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { assertClose, Page, tour } from "./page.mjs";
import { end, endAll, startBrowser, startServer } from "./processes.mjs";

/** Runs in a page: what a WebSocket tells of, up to its open or close. */
const eventsOf = (url) => new Promise((done) => {
  const seen = [];
  const ws = new WebSocket(url);
  ws.onopen = () => done([...seen, "open"]);
  ws.onerror = () => seen.push("error");
  ws.onclose = ({ code, reason, wasClean }) => done([...seen, { code, reason, wasClean }]);
});

describe("Chromium", () => {
  let browser, server;
  before(async () => {
    server = await startServer();
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.stop();
    await endAll();
  });

  test("the page", async (t) => tour(t, browser, server));

  test("without a source the board is behind its link, and says what is missing", async () => {
    const page = await Page.open(browser, server);
    assert.equal(await page.tab.title(), "Console – Headrace");
    await page.tab.getByRole("link", { name: "Ticks" }).click();
    await page.status("Live, queue");
    await page.tab.getByRole("alert").getByText("the server publishes no ticks").waitFor();
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test("every second", async () => {
    const page = await Page.open(browser, server);
    await page.connect("/echo");
    await page.tab.getByRole("checkbox", { name: "Every second" }).check();
    await page.tab.locator('#log li[data-way="in"]').nth(1).waitFor();
    assert.match(await page.tab.locator("#rtt").textContent(), /^\d+(\.\d)?$/);
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test("the keyboard alone is enough", async () => {
    const page = await Page.open(browser, server);
    const keys = page.tab.keyboard;
    for (let i = 0; i < 3; i++) await keys.press("Tab"); // two views, and the endpoints as one stop
    await keys.press("ArrowDown");
    await keys.press("Tab"); // the room
    await keys.press("Enter");
    await page.status("Connected to /ws/chat"); // and the focus is in the message
    await keys.press("Control+A");
    await keys.type("typed");
    await keys.press("Enter");
    await page.event({ kind: "text", way: "in", text: "typed" });
    await page.close();
  });

  test("the chat's rooms do not hear one another", async () => {
    const [ada, bora] = [await Page.open(browser, server), await Page.open(browser, server)];
    for (const [page, room] of [[ada, "blue"], [bora, "red"]]) {
      await page.tab.getByRole("radio", { name: "/ws/chat" }).check();
      await page.tab.getByRole("textbox", { name: "Room" }).fill(room);
      await page.connect("/ws/chat");
      await page.status(`Connected to /ws/chat?room=${room}`);
    }
    for (const [page, text] of [[ada, "In blue"], [bora, "In red"]]) {
      await page.say(text);
      await page.event({ kind: "text", way: "in", text });
    }
    for (const page of [ada, bora]) {
      assert.deepEqual(await page.kinds(), ["open", "text out", "text in"]);
      await page.close();
    }
  });

  test("a phone's width needs no scrolling sideways", async () => {
    const page = await Page.open(browser, server);
    await page.tab.setViewportSize({ width: 320, height: 640 });
    await page.connect("/echo");
    await page.say("x".repeat(500));
    await page.event({ kind: "text", way: "in", text: "x".repeat(500) });
    const { scroll, width } = await page.tab.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: innerWidth }));
    assert.ok(scroll <= width, `${scroll} px are wider than ${width}`);
    await page.close();
  });

  test("another site's page is refused with error and 1006, unless --allow-origin names it", async () => {
    const site = createServer((_, res) => res.setHeader("Content-Type", "text/html").end("<title>another site</title>"));
    await once(site.listen(0, "127.0.0.1").unref(), "listening");
    const origin = `http://127.0.0.1:${site.address().port}`;
    const tab = await browser.newTab();
    await tab.goto(origin);
    const refused = await tab.evaluate(eventsOf, `ws://${server.host}/echo`);
    assert.deepEqual(refused, ["error", { code: 1006, reason: "", wasClean: false }]);

    const open = await startServer("--allow-origin", "https://example.com", "--allow-origin", origin);
    assert.deepEqual(await tab.evaluate(eventsOf, `ws://${open.host}/echo`), ["open"]);
    const own = await Page.open(browser, open);
    await own.connect("/echo");
    assert.deepEqual(own.complaints, [], "the server's own page may connect all the same");
    await own.close();
    await tab.close();
  });

  test("a server that is stopped says 1001, and ends with exit code 0", async () => {
    const own = await startServer();
    const pages = [];
    for (const path of ["/echo", "/ws/chat", "/hello"]) {
      const page = await Page.open(browser, own);
      await page.connect(path);
      pages.push(page);
    }
    const began = Date.now();
    assert.equal(await end(own.child), 0);
    assert.ok(Date.now() - began < 10_000, "within 10 s");
    for (const page of pages) {
      assertClose(await page.event({ kind: "close" }), 1001, "server is shutting down", true);
      assert.deepEqual(page.complaints, []);
      await page.close();
    }
  });

  test("a server that vanishes gives 1006", async () => {
    const own = await startServer();
    const page = await Page.open(browser, own);
    await page.connect("/echo");
    await end(own.child, "SIGKILL");
    assertClose(await page.event({ kind: "close" }), 1006, "", false);
    await page.status("Connection lost");
    await page.close();
  });

  test("the server ends with exit code 0", async () => assert.equal(await end(server.child), 0));
});
