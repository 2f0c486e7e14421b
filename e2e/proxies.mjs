// nginx and HAProxy in front of a server, set up as their own documentation has it: both keep connections to the server for
// the next request.

import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { start } from "./processes.mjs";

const work = process.env.E2E_WORK;

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** Starts one process, so that one pid is all there is to end. configOf makes its configuration from where it shall listen. */
async function startProxy(name, argsOf, configOf, secure = false) {
  const dir = mkdtempSync(join(work, `${name}-`));
  const file = join(dir, "config");
  for (let tries = 3; ; tries--) {
    const host = `127.0.0.1:${await freePort()}`;
    writeFileSync(file, configOf(host, dir));
    const child = await start(name, argsOf(file, dir), {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    if (await listens(host, child)) return { child, host, secure };
    if (tries === 1) throw new Error(`${name} did not start`);
  }
}

/** Waits until a process takes connections, or ends. It sends nothing, of which the server behind would hear. */
async function listens(host, child) {
  const [address, port] = host.split(":");
  while (child.exitCode === null) {
    const socket = connect(Number(port), address);
    const ok = await once(socket, "connect").then(() => true, () => false);
    socket.destroy();
    if (ok) return true;
    await new Promise((again) => setTimeout(again, 20));
  }
  return false;
}

/**
 * Starts an nginx in front of a server, which may be at a unix socket. Without passHost it tells the server a Host of its own, as
 * it does by default; forwarded has it say for whom it speaks; idle is how many seconds a side may be silent.
 */
export function startNginx(server, { passHost = true, forwarded = false, idle = 30 } = {}) {
  return startProxy("nginx", (file, dir) => ["-p", dir, "-e", "stderr", "-c", file], (host, dir) => `
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
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream headrace {
    server ${server.unix ? `unix:${server.unix}` : server.host};
    keepalive 4;
  }
  server {
    listen ${host};
    location / {
      proxy_pass http://headrace;
      proxy_http_version 1.1;
      proxy_read_timeout ${idle}s;
      ${passHost ? "proxy_set_header Host $http_host;" : ""}
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      ${forwarded ? "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;" : ""}
    }
  }
}
`);
}

/**
 * Starts an HAProxy in front of a server. mode is http or tcp; forwarded, "X-Forwarded-For" or "Forwarded", is where it says for
 * whom it speaks; send is send-proxy or send-proxy-v2, with which, where it speaks http, it also asks after the server's health; a
 * certificate has it end TLS, and say so; idle is how many seconds a side may be silent.
 */
export function startHAProxy(server, { mode = "http", forwarded, send, certificate, idle = 30 } = {}) {
  const says = {
    // What "option forwarded" says, which HAProxy has since 2.8. A line of its own, behind what the client has sent.
    Forwarded: "http-request add-header Forwarded proto=%[ssl_fc,iif(https,http)];for=%[src]",
    "X-Forwarded-For": `option forwardfor
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]`,
  };
  return startProxy("haproxy", (file) => ["-db", "-f", file], (host, dir) => {
    const pem = join(dir, "certificate.pem");
    if (certificate) writeFileSync(pem, readFileSync(certificate.cert) + readFileSync(certificate.key));
    return `
global
  nbthread 1
  maxconn 256
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel ${idle}s
  timeout check 20s
frontend in
  bind ${host}${certificate ? ` ssl crt ${pem}` : ""}
  ${mode === "http" ? "stats uri /haproxy" : ""}
  default_backend headrace
backend headrace
  ${mode === "http" ? "http-reuse always" : ""}
  ${says[forwarded] ?? ""}
  option httpchk GET /readyz
  server headrace ${server.host} ${send ?? ""} ${send && mode === "http" ? "check inter 100" : ""}
`;
  }, server.secure || Boolean(certificate));
}
