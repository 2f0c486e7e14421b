import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Page } from "./page.mjs";
import { endAll, startBrowser, startServer } from "./processes.mjs";

const fast = 0, slow = 4, slowest = 9; // levels of the slider: all, 500 and 5 messages a second

/** Runs in a page: counts the feed's connections and the frames that are drawn. */
function count() {
  globalThis.counted = { made: 0, open: 0, frames: 0 };
  const request = requestAnimationFrame;
  globalThis.requestAnimationFrame = (draw) => {
    counted.frames++;
    return request(draw);
  };
  globalThis.WebSocketStream = class extends WebSocketStream {
    constructor(...args) {
      super(...args);
      counted.made++;
      counted.open++;
      const gone = () => { counted.open--; };
      this.closed.then(gone, gone);
    }
  };
}

/** The board, used by its controls and read by what it shows. */
class Board extends Page {
  counted() {
    return this.tab.evaluate(() => counted);
  }

  async show(view) {
    await this.tab.getByRole("link", { name: view }).click();
    await this.shown(view);
  }

  /** Waits until a view is shown, and its link says so. */
  async shown(view) {
    await this.tab.getByRole("region", { name: view, exact: true }).waitFor();
    await this.tab.locator(".views a[aria-current]").getByText(view, { exact: true }).waitFor();
    assert.equal(await this.tab.title(), `${view} – Headrace`);
  }

  /** What a figure says now: 1,234 is 1234, 1.5M 1500000. */
  async figure(id) {
    const [, digits, unit] = (await this.tab.locator(`#${id}`).textContent()).match(/^([\d.,]+)([KM]?)/) ?? [];
    return Number(digits?.replaceAll(",", "")) * { "": 1, K: 1e3, M: 1e6 }[unit ?? ""];
  }

  /** Waits until figures fit, and gives them. */
  async until(ids, fit, what) {
    const deadline = Date.now() + 15_000;
    for (;;) {
      const figures = Object.fromEntries(await Promise.all(ids.map(async (id) => [id, await this.figure(id)])));
      if (await fit(figures)) return figures;
      assert.ok(Date.now() < deadline, `${what}: ${JSON.stringify(figures)}`);
      await this.tab.waitForTimeout(100);
    }
  }

  choose(name) {
    return this.tab.getByRole("radio", { name }).check();
  }

  async level(n) {
    await this.tab.getByRole("slider", { name: "Pretend to be slow" }).fill(String(n));
  }

  lasts() {
    return this.tab.locator("#prices td.last").allTextContents();
  }

  /** The median lag in milliseconds and the bytes read in a second. */
  speed() {
    return this.tab.evaluate(() => {
      const text = (id) => document.getElementById(id).textContent;
      const number = (id) => Number(text(id).replaceAll(",", ""));
      return {
        lag: number("lag") * (text("lag-unit") === "s" ? 1000 : 1),
        rate: number("bytes") * { B: 1, KiB: 1 << 10, MiB: 1 << 20 }[text("bytes-unit")],
      };
    });
  }
}

describe("The tick board", () => {
  let browser, site, board;
  before(async () => {
    browser = await startBrowser();
    site = await startServer("--demo-ticks", "symbols=50,rate=1000", "--feed-history", "2000");
    board = await Board.open(browser, site);
  });
  after(async () => {
    await browser?.stop();
    await endAll();
  });

  test("the page shows it first, prices appear and move, and only the rows in view exist", async () => {
    await board.shown("Ticks");
    await board.status("Live, queue");
    const table = board.tab.getByRole("table");
    await table.getByRole("row").nth(10).waitFor();
    const before = await board.lasts();
    await board.tab.waitForFunction((old) => [...document.querySelectorAll("#prices td.last")].some((td, i) => td.textContent !== old[i]), before);
    await board.until(["messages", "shown", "gaps"], (f) => f.messages > 300 && f.shown > 0 && f.gaps === 0, "ticks come");
    assert.equal(await table.getAttribute("aria-rowcount"), "51");
    assert.ok((await table.getByRole("row").count()) < 40, "not every symbol has a row");
    await board.tab.locator("#prices-scroll").press("End");
    await table.locator('[aria-rowindex="51"]').waitFor();
    assert.deepEqual(board.complaints, []);
  });

  test("Latest at 2/s skips, and leaves no gap", async () => {
    await board.choose("Latest");
    await board.status("Live, latest");
    await board.choose("2/s");
    await board.until(["messages", "skipped"], (f) => f.messages > 0 && f.messages < 200 && f.skipped > 200, "the server skips");
    await board.choose("Queue");
    await board.status("Live, queue");
    await board.until(["messages", "skipped"], (f) => f.messages > 300 && f.skipped === 0, "and Queue has all again");
    assert.equal(await board.figure("gaps"), 0);
    assert.deepEqual(board.complaints, []);
  });

  test("what was missed comes back after a cut", async () => {
    await board.tab.getByRole("button", { name: "Cut and recover" }).click();
    const told = board.tab.locator("#recovery:not(:empty)");
    await told.waitFor();
    const said = await told.textContent();
    const [, recovered] = said.match(/^Back: recovered ([\d,]+) messages in 50 topics, nothing is missing$/) ?? [];
    assert.ok(Number(recovered?.replaceAll(",", "")) > 50, said);
    await board.until(["messages"], (f) => f.messages > 300, "ticks come again");
    assert.equal(await board.figure("gaps"), 0);
    await board.tab.locator("#recovery:empty").waitFor({ state: "attached" }); // it is news for a while only
    assert.deepEqual(board.complaints, []);
  });

  test("a connection that is left takes no turn of the next one", async () => {
    const counts = await board.tab.evaluate(async () => {
      const { open } = await import("/board/socket.js");
      const counts = [0, 0, 0];
      const sockets = counts.map((_, i) => {
        const subscribe = () => sockets[i].send(JSON.stringify({ type: "subscribe", topic: "ticks.*" }));
        return open(`ws://${location.host}/feed`, "headrace.feed.v1", { opened: subscribe, message: () => counts[i]++, closed() {} }, () => {});
      });
      const late = performance.now() + 15_000;
      while (Math.min(...counts) < 3000 && performance.now() < late) await new Promise((done) => setTimeout(done, 100));
      for (const socket of sockets) socket.close(1000, "");
      return counts;
    });
    assert.ok(Math.min(...counts) >= 3000, `of three that read at the same time, each has read ${counts.join(", ")}`);
    await board.until(["messages"], (f) => f.messages > 300, "the board reads on");
    assert.deepEqual(board.complaints, []);
  });

  test("what it says of a slow page pushes nothing away", async () => {
    const places = () => board.tab.evaluate(() => ["happened", "lag", "prices-scroll"].map((id) => document.getElementById(id).getBoundingClientRect().top));
    await board.tab.setViewportSize({ width: 1280, height: 800 });
    await board.level(1);
    const before = await places();
    await board.level(slow);
    await board.tab.locator("#hint:not(:empty)").waitFor();
    assert.deepEqual(await places(), before);
    assert.ok(await board.tab.evaluate(() => document.documentElement.scrollHeight <= innerHeight));
    await board.level(fast);
    await board.tab.locator("#hint:empty").waitFor({ state: "attached" });
    await board.tab.setViewportSize({ width: 320, height: 700 });
    assert.ok(await board.tab.evaluate(() => { const s = document.querySelector("#ticks-status .said"); return s.scrollWidth <= s.clientWidth; }));
    assert.deepEqual(board.complaints, []);
  });

  test("it reads and draws nothing while the console is shown, whose connection stays", async () => {
    const own = await Board.open(browser, site, { path: "/#console", init: count });
    await own.shown("Console");
    await own.connect("/echo");
    assert.equal((await own.counted()).made, 0, "what is hidden does not connect");

    await own.show("Ticks");
    await own.status("Live, queue");
    await own.until(["messages", "shown"], (f) => f.messages > 300 && f.shown > 0, "ticks come");
    await own.level(slow);
    await own.until([], async () => (await own.speed()).lag > 1500, "it falls behind"); // so the Close frame stands behind much
    await own.show("Console");
    await own.tab.waitForFunction(() => counted.open === 0, undefined, { polling: 50 }); // its frames would be counted
    const { frames } = await own.counted();
    await own.status("Connected to /echo");
    await own.say("still here");
    await own.event({ kind: "text", way: "in", text: "still here" });
    await own.tab.waitForTimeout(700); // the board wakes up every 500 ms, if it does
    assert.equal((await own.counted()).frames, frames, "nothing is drawn");

    await own.show("Ticks");
    await own.status("Live, queue");
    assert.match(await own.tab.locator("#pace").textContent(), /500 messages/, "it is as slow as it was");
    await own.level(fast);
    await own.until(["messages", "gaps"], (f) => f.messages > 300 && f.gaps === 0, "ticks come again");
    const { made, open } = await own.counted();
    assert.deepEqual({ made, open }, { made: 2, open: 1 });
    await own.tab.getByRole("button", { name: "Disconnect" }).click();
    await own.show("Console");
    await own.status("Connected to /echo");
    await own.show("Ticks");
    await own.status("Not connected"); // as it was left
    assert.deepEqual(own.complaints, []);
    await own.close();
  });

  test("links, the keyboard and the Back button lead to a view", async () => {
    const own = await Board.open(browser, site);
    for (const key of ["Tab", "Tab", "Enter"]) await own.tab.keyboard.press(key);
    await own.shown("Console");
    assert.equal(own.tab.url(), `http://${site.host}/#console`);
    await own.tab.keyboard.press("Tab");
    await own.tab.locator("#console :focus").waitFor(); // the view is where the keyboard goes on
    await own.tab.goBack();
    await own.shown("Ticks");
    await own.tab.goForward();
    await own.shown("Console");
    await own.tab.goto(`http://${site.host}/#elsewhere`);
    await own.shown("Ticks");
    const old = await Board.open(browser, site, { path: "/board" });
    await old.shown("Ticks");
    assert.equal(old.tab.url(), `http://${site.host}/#ticks`);
    for (const page of [own, old]) {
      // Who leaves the board at once closes a connection that is being made, and the browser says so.
      assert.deepEqual(page.complaints.filter((c) => !c.includes("closed before the connection is established")), []);
      await page.close();
    }
  });

  test("a slow reader is closed with 1013 in Queue, and stays near the present in Latest", async () => {
    await board.close();
    board = await Board.open(browser, await startServer("--demo-ticks", "symbols=50,rate=10000", "--max-queue", "256KiB"));
    const notice = board.tab.getByRole("alert");
    // The Close frame stands behind what has been sent, so that a page as slow as this sees it when it reads on.
    for (let s = 2; !(await notice.isVisible()) && s < 10; s++) {
      await board.level(slowest);
      await board.tab.waitForTimeout(s * 1000);
      await board.level(fast);
      await notice.waitFor({ timeout: 5_000 }).catch(() => {});
    }
    await notice.getByRole("heading", { name: "1013 try again later" }).waitFor();
    await notice.getByText("read more slowly than the ticks came").waitFor();

    // What the kernels and the browser hold, some hundred KB, is older than what is skipped. How long a busy machine takes to
    // read that is its own affair; that it does not become more is the server's.
    await board.level(slow);
    await notice.getByRole("button", { name: "Reconnect with Latest" }).click();
    await board.status("Live, latest");
    await board.until(["skipped-all"], (f) => f["skipped-all"] > 5_000, "the server skips");
    const { lag, rate } = await board.speed();
    assert.ok((lag / 1000) * rate < 2 << 20, `${lag} ms behind at ${rate} bytes/s`);
    assert.equal(await board.figure("gaps"), 0);
    assert.deepEqual(board.complaints, []);
  });
});
