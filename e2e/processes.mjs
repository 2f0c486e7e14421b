// The processes of a test: servers, proxies, browsers. Each ends with its test file; should the file itself be ended, then
// ./run ends what it finds in E2E_WORK/processes.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const work = process.env.E2E_WORK;
if (!work) throw new Error("start these tests with ./run");

const running = new Set();

/** Notes a process, and forgets it when it ends. */
function note(child) {
  const file = join(work, "processes", String(child.pid));
  writeFileSync(file, readFileSync(`/proc/${child.pid}/comm`, "utf8").trim());
  running.add(child);
  child.once("exit", () => {
    running.delete(child);
    rmSync(file, { force: true });
  });
  return child;
}

/** Ends what a failed test has left. */
export async function endAll() {
  await Promise.all([...running].map((child) => end(child, "SIGKILL")));
}

/** Starts a process. */
export async function start(command, args, options) {
  const child = spawn(command, args, options);
  await once(child, "spawn");
  return note(child);
}

/** Ends a process by a signal, and gives its exit code. */
export async function end(child, signal = "SIGTERM") {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, "exit");
    child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), 15_000);
    await gone;
    clearTimeout(late);
  }
  return child.exitCode;
}

/** Waits until a process that has been started prints a line like that; gives what matches. */
async function line(child, pattern) {
  for await (const said of createInterface({ input: child.stdout })) {
    const match = said.match(pattern);
    if (match) return match;
  }
  throw new Error(`${child.spawnfile} ended without a line like ${pattern}`);
}

/** Starts a Headrace server on a free port; host is where it listens. The tests ping faster than people do. */
export async function startServer(...args) {
  const child = await start(join(work, "headrace-server"), ["--addr", "127.0.0.1:0", "--log-level", "warn", "--max-control-rate", "100000", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [, secure, host] = await line(child, /ws(s?):\/\/(\S+)\/echo/);
  return { child, host, secure: secure === "s" };
}

/** Builds a program of this repository: a folder of one of its modules. */
export function build(module, folder = ".") {
  const program = join(work, basename(join(module, folder)));
  execFileSync("go", ["build", "-C", join("..", module), "-o", program, `./${folder}`]);
  return program;
}

/** Starts a program that says http://host:port/ or https://host:port/ once it listens. */
export async function startProgram(program, ...args) {
  const child = await start(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [, secure, host] = await line(child, /^http(s?):\/\/([^/]+)\/$/);
  return { child, host, secure: secure === "s" };
}

/** Makes a certificate for 127.0.0.1 and localhost, signed by itself; gives its files. */
export function makeCertificate() {
  const dir = mkdtempSync(join(work, "certificate-"));
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { key, cert };
}

/** Starts a Chromium with a fresh profile. */
export async function startBrowser() {
  const server = await chromium.launchServer({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
  });
  note(server.process());
  const browser = await chromium.connect(server.wsEndpoint());
  return {
    newTab: (options) => browser.newPage(options),
    stop: async () => {
      await browser.close();
      await server.close();
    },
  };
}
