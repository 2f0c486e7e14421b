// The server's page, used as a person would: by its controls, and by what it shows.

import assert from "node:assert/strict";

export const patience = 20_000;

export class Page {
  /** What the browser complained about, and what the page asked of others than its server. */
  complaints = [];

  /** Opens it, at a path or with something behind the #; `init` runs in the tab before the page's own scripts do. */
  static async open(browser, { host, secure = false }, { path = "/", init } = {}) {
    const page = new this();
    page.tab = await browser.newTab({ ignoreHTTPSErrors: secure });
    page.tab.setDefaultTimeout(patience);
    page.tab.on("console", (m) => {
      if (["error", "warning"].includes(m.type())) page.complaints.push(m.text());
    });
    page.tab.on("pageerror", (e) => page.complaints.push(String(e)));
    page.tab.on("requestfailed", (r) => page.complaints.push(`${r.url()}: ${r.failure()?.errorText}`));
    page.tab.on("request", (r) => {
      if (new URL(r.url()).host !== host) page.complaints.push(`a request to ${r.url()}`);
    });
    if (init) await page.tab.addInitScript(init);
    const response = await page.tab.goto(`${secure ? "https" : "http"}://${host}${path}`);
    assert.equal(response.status(), 200);
    return page;
  }

  /** Chooses a path and presses Connect. */
  async dial(path) {
    await this.tab.getByRole("radio", { name: path }).check();
    await this.tab.getByRole("button", { name: "Connect", exact: true }).click();
  }

  async connect(path) {
    await this.dial(path);
    await this.status(`Connected to ${path}`);
    return this.event({ kind: "open" });
  }

  async disconnect() {
    await this.tab.getByRole("button", { name: "Disconnect" }).click();
    return this.event({ kind: "close" });
  }

  async say(text) {
    await this.tab.getByRole("textbox", { name: "Message" }).fill(text);
    await this.tab.getByRole("button", { name: "Send" }).click();
  }

  async status(text) {
    await this.tab.getByRole("status").filter({ hasText: text }).waitFor();
  }

  /** Waits for a row of the log: of a kind, going out or in, and showing a text. */
  async event({ kind, way, text }) {
    let rows = this.tab.locator(`#log li[data-kind="${kind}"]${way ? `[data-way="${way}"]` : ""}`);
    if (text !== undefined) rows = rows.filter({ has: this.tab.getByText(text, { exact: true }) });
    const row = rows.last();
    await row.waitFor();
    return row.evaluate((li) => ({ ...li.dataset, text: li.querySelector(".what").textContent }));
  }

  /** The kinds of all rows, in order. */
  kinds() {
    return this.tab.locator("#log li").evaluateAll((rows) => rows.map((li) => `${li.dataset.kind} ${li.dataset.way}`.trim()));
  }

  async close() {
    await this.tab.close();
  }
}

/** Asserts how a connection ended. */
export function assertClose(event, code, reason, clean) {
  assert.deepEqual({ code: event.code, reason: event.reason, clean: event.clean }, { code: String(code), reason, clean: String(clean) });
}

/** Walks the page through every endpoint. Direct and behind a proxy it is all the same. */
export async function tour(t, browser, site) {
  await t.test("echo: open, text, binary, close", async () => {
    const page = await Page.open(browser, site);
    const open = await page.connect("/echo");
    assert.equal(open.text, `${site.secure ? "wss" : "ws"}://${site.host}/echo`);
    for (const text of ["Hello, stream", "水車が回る, ça tourne, 🌊"]) {
      await page.say(text);
      const back = await page.event({ kind: "text", way: "in", text });
      assert.ok(Number(back.trip) > 0, "the round trip has a time");
    }
    await page.tab.getByRole("checkbox", { name: "Binary" }).check();
    await page.say("水");
    await page.event({ kind: "binary", way: "in", text: "e6 b0 b4" });
    assertClose(await page.disconnect(), 1000, "", true);
    await page.status("Not connected");
    assert.deepEqual(await page.kinds(), ["open", "text out", "text in", "text out", "text in", "binary out", "binary in", "close"]);
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  await t.test("hello: a greeting, and 1000 Bye! after 5 s", async () => {
    const page = await Page.open(browser, site);
    await page.connect("/hello");
    const began = Date.now();
    await page.say("My name is Bora");
    await page.event({ kind: "text", way: "in", text: "Hello from server, Bora!" });
    assertClose(await page.event({ kind: "close" }), 1000, "Bye!", true);
    const took = Date.now() - began;
    assert.ok(took > 4_500, `goodbye came after ${took} ms`);
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  await t.test("chat: two tabs with one another, and no binary", async () => {
    const [ada, bora] = [await Page.open(browser, site), await Page.open(browser, site)];
    await ada.connect("/ws/chat");
    await bora.connect("/ws/chat");
    for (const [speaker, text] of [[ada, "I am Ada"], [bora, "I am Bora"], [ada, "Nice to meet you"]]) {
      await speaker.say(text);
      for (const member of [ada, bora]) await member.event({ kind: "text", way: "in", text });
    }
    await bora.tab.getByRole("checkbox", { name: "Binary" }).check();
    await bora.say("bytes");
    assertClose(await bora.event({ kind: "close" }), 1003, "the chat relays text only", true);
    await ada.say("Still here");
    await ada.event({ kind: "text", way: "in", text: "Still here" });
    assert.deepEqual([...ada.complaints, ...bora.complaints], []);
    await ada.close();
    await bora.close();
  });
}
