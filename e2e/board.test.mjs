import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Page } from "./page.mjs";
import { endAll, startBrowser, startServer } from "./processes.mjs";

const fast = 0, slow = 4, slowest = 9; // levels of the slider: all, 500 and 5 messages a second

/** The board, used by its controls and read by what it shows. */
class Board extends Page {
  static async open(browser, site) {
    const board = Object.assign(new Board(), await Page.open(browser, site));
    await board.tab.getByRole("link", { name: "Ticks" }).click();
    return board;
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
      if (fit(figures)) return figures;
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
  let browser, board;
  before(async () => {
    browser = await startBrowser();
    board = await Board.open(browser, await startServer("--demo-ticks", "symbols=50,rate=1000", "--feed-history", "2000"));
  });
  after(async () => {
    await browser?.stop();
    await endAll();
  });

  test("prices appear and move, and only the rows in view exist", async () => {
    await board.status("Live, queue");
    const table = board.tab.getByRole("table");
    await table.getByRole("row").nth(10).waitFor();
    const before = await board.lasts();
    await board.tab.waitForFunction((old) => [...document.querySelectorAll("#prices td.last")].some((td, i) => td.textContent !== old[i]), before);
    await board.until(["messages", "shown", "gaps"], (f) => f.messages > 300 && f.shown > 0 && f.gaps === 0, "ticks come");
    assert.equal(await table.getAttribute("aria-rowcount"), "51");
    assert.ok((await table.getByRole("row").count()) < 40, "not every symbol has a row");
    await board.tab.locator("#scroll").press("End");
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
    const [, recovered] = (await told.textContent()).match(/^Back: recovered ([\d,]+) messages in 50 topics, nothing is missing$/) ?? [];
    assert.ok(Number(recovered?.replaceAll(",", "")) > 50, await told.textContent());
    await board.until(["messages"], (f) => f.messages > 300, "ticks come again");
    assert.equal(await board.figure("gaps"), 0);
    await board.tab.locator("#recovery:empty").waitFor({ state: "attached" }); // it is news for a while only
    assert.deepEqual(board.complaints, []);
  });

  test("what it says of a slow page pushes nothing away", async () => {
    const places = () => board.tab.evaluate(() => ["happened", "lag", "scroll"].map((id) => document.getElementById(id).getBoundingClientRect().top));
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
    assert.ok(await board.tab.evaluate(() => { const s = document.getElementById("status"); return s.scrollWidth <= s.clientWidth; }));
    assert.deepEqual(board.complaints, []);
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
