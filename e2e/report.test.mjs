import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, before, describe, test } from "node:test";
import { patience } from "./page.mjs";
import { build, endAll, startBrowser, startServer } from "./processes.mjs";

const work = process.env.E2E_WORK;

/** Opens a report, and notes what the browser complains about and whom it asks for something. */
async function open(browser, file, options) {
  const address = pathToFileURL(file).href;
  const tab = await browser.newTab(options);
  tab.setDefaultTimeout(patience);
  const complaints = [];
  tab.on("console", (m) => complaints.push(m.text()));
  tab.on("pageerror", (e) => complaints.push(String(e)));
  tab.on("dialog", (d) => {
    complaints.push(`a dialog: ${d.message()}`);
    d.dismiss();
  });
  tab.on("request", (r) => {
    if (r.url() !== address && !r.url().startsWith("data:")) complaints.push(`a request to ${r.url()}`);
  });
  await tab.goto(address);
  return { tab, complaints, plot: (title) => tab.locator("figure").filter({ hasText: title }) };
}

/** How many pixels of a plot are drawn on. */
function inked(plot) {
  return plot.locator("canvas").evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let n = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] > 0) n++;
    return n;
  });
}

describe("The report of wsbench", () => {
  let browser, file;
  const json = join(work, "report.json");
  before(async () => {
    const program = build(".", "cmd/wsbench");
    const { child, host } = await startServer();
    file = join(work, "report.html");
    execFileSync(program, ["echo", `ws://${host}/echo`, "--rate=500", "--poisson", "--conns=20", "--warmup=0s", "--duration=4s",
      "--pid", String(child.pid), "--json", json, "--html", file], { stdio: "ignore" });
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.stop();
    await endAll();
  });

  for (const [name, options] of Object.entries({
    "in light": { colorScheme: "light" },
    "in the dark": { colorScheme: "dark" },
    "on a phone": { viewport: { width: 360, height: 700 } },
  })) {
    test(`all plots are drawn ${name}, and nobody is asked for anything`, async () => {
      const { tab, complaints, plot } = await open(browser, file, options);
      for (const title of ["Latency by percentile", "Latency over time", "Throughput over time", "Connections over time", "Handshakes by percentile"]) {
        assert.ok((await inked(plot(title))) > 500, `${title} is empty`);
      }
      await tab.getByRole("heading", { name: /^(No doubts|DOUBTFUL)/ }).waitFor();
      assert.equal(await tab.locator(".tiles dl").count(), 6);
      assert.ok(await tab.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it is wider than the window");
      assert.deepEqual(complaints, []);
      await tab.close();
    });
  }

  test("a plot can be read with the mouse, and as a table", async () => {
    const { tab, complaints, plot } = await open(browser, file);
    const latency = plot("Latency by percentile");
    await latency.locator(".u-over").hover();
    await latency.locator(".u-legend").filter({ hasText: /latency\s*[\d.]+ (µs|ms|s)/ }).waitFor();
    await latency.getByText("As a table").click();
    await latency.getByRole("rowheader", { name: "99.9 %" }).waitFor();
    assert.deepEqual(complaints, []);
    await tab.close();
  });

  test("on paper it is light", async () => {
    const { tab, complaints } = await open(browser, file, { colorScheme: "dark" });
    const before = await tab.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--ink"));
    await tab.evaluate(() => dispatchEvent(new Event("beforeprint")));
    const printed = await tab.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--ink"));
    await tab.evaluate(() => dispatchEvent(new Event("afterprint")));
    assert.notEqual(before, printed);
    assert.deepEqual(complaints, []);
    await tab.close();
  });

  test("what a server has said stays text", async () => {
    const evil = `</script><script>alert(1)</script><img src="http://127.0.0.1:1/x" onerror="alert(2)">`;
    const result = JSON.parse(readFileSync(json, "utf8"));
    Object.assign(result, {
      url: evil, refused: { [evil]: 1 }, ended: { [evil]: 2 }, doubts: [evil],
      plots: [{ title: "Its own", x: "load", y: evil, lines: [{ name: evil, x: [1, 2, 3], y: [1, 3, 2] }] }],
    });
    const changed = join(work, "changed.json");
    const page = join(work, "changed.html");
    writeFileSync(changed, JSON.stringify(result));
    execFileSync(join(work, "wsbench"), ["report", changed, "--html", page]);
    const { tab, complaints, plot } = await open(browser, page);
    await tab.getByRole("heading", { name: /^DOUBTFUL/ }).waitFor();
    assert.ok((await inked(plot("Its own"))) > 500);
    assert.equal(await tab.locator("img").count(), 0);
    assert.deepEqual(complaints, []);
    await tab.close();
  });
});
