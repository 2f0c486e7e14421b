// The processes of a test: servers, nginx, browsers. Each ends with its test file; should the file itself be ended, then
// ./run ends what it finds in E2E_WORK/processes.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
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

async function start(command, args, options) {
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

/** Starts a Headrace server on a free port; host is where it listens. The tests ping faster than people do. */
export async function startServer(...args) {
  const child = await start(join(work, "headrace-server"), ["--addr", "127.0.0.1:0", "--log-level", "warn", "--max-control-rate", "100000", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const [, secure, host] = line.match(/ws(s?):\/\/(\S+)\/echo/) ?? [];
    if (host) return { child, host, secure: secure === "s" };
  }
  throw new Error("the server did not say where it listens");
}

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** Starts an nginx in front of a server. Without passHost it tells the server a Host of its own, as it does by default. */
export async function startNginx(server, { passHost = true } = {}) {
  const dir = mkdtempSync(join(work, "nginx-"));
  for (let tries = 3; ; tries--) {
    const host = `127.0.0.1:${await freePort()}`;
    writeFileSync(join(dir, "nginx.conf"), nginxConfig(dir, host, server.host, passHost));
    const child = await start("nginx", ["-p", dir, "-e", "stderr", "-c", join(dir, "nginx.conf")], {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    if (await answers(`http://${host}/healthz`, child)) return { child, host };
    if (tries === 1) throw new Error("nginx did not start");
  }
}

/** Waits until a process answers, or ends. */
async function answers(url, child) {
  while (child.exitCode === null) {
    const ok = await fetch(url).then((r) => r.ok, () => false);
    if (ok) return true;
    await new Promise((again) => setTimeout(again, 20));
  }
  return false;
}

// One process, so that one pid is all there is to end.
const nginxConfig = (dir, host, upstream, passHost) => `
daemon off;
master_process off;
pid ${dir}/nginx.pid;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  server {
    listen ${host};
    location / {
      proxy_pass http://${upstream};
      proxy_http_version 1.1;
      ${passHost ? "proxy_set_header Host $http_host;" : ""}
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }
  }
}
`;

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
