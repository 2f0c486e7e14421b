// HTTP on the port that the WebSockets have: curl, and raw bytes where curl doesn't go.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect as connectTLS } from "node:tls";
import { promisify } from "node:util";
import { echo } from "./echo.mjs";
import { build, end, endAll, makeCertificate, startProgram, startServer } from "./processes.mjs";

const dir = mkdtempSync(join(process.env.E2E_WORK, "curl-"));
const limits = ["--silent", "--show-error", "--max-time", "20"];

/** Runs curl. Gives what it has written, as text, and with -v what it has told. */
const curl = async (...args) => promisify(execFile)("curl", [...limits, ...args], { maxBuffer: 16 << 20 });

/** Sends bytes, and gives all that comes back until the other side ends the connection. */
async function raw({ host, secure }, bytes) {
  const [address, port] = host.split(":");
  const socket = secure ? connectTLS({ host: address, port, rejectUnauthorized: false }) : connect(Number(port), address);
  socket.write(bytes);
  return Buffer.concat(await socket.toArray()).toString();
}

for (const secure of [false, true]) {
  const scheme = secure ? "https" : "http";

  describe(`curl, ${scheme}: the server`, () => {
    const socket = join(dir, `${scheme}.sock`);
    let server, at;
    before(async () => {
      server = await startServer("--addr", `unix:${socket}`, ...(secure ? ["--tls-self-signed"] : []));
      at = `${scheme}://${server.host}`;
    });
    after(endAll);

    test("a page", async () => {
      const { stdout } = await curl("-k", "-w", "%{http_code} %{http_version} %{content_type}", "-o", join(dir, "page"), `${at}/`);
      assert.equal(stdout, "200 1.1 text/html; charset=utf-8");
      assert.match(readFileSync(join(dir, "page"), "utf8"), /<!doctype html>/i);
    });

    test("HTTP/1.0: an answer, and the end", async () => {
      // With ALPN curl would offer http/1.0 alone, which the TLS of Go refuses by an alert.
      const { stdout, stderr } = await curl("-k", "-v", "--http1.0", "--no-alpn", `${at}/healthz`);
      assert.equal(stdout, "ok\n");
      assert.match(stderr, /> GET \/healthz HTTP\/1\.0\r?\n/);
      assert.match(stderr, /< HTTP\/1\.0 200 OK/);
      assert.match(stderr, /Closing connection/);
      assert.match(await raw(server, "GET /healthz HTTP/1.0\r\n\r\n"), /^HTTP\/1\.0 200 OK\r\n[^]*\r\n\r\nok\n$/);
    });

    test("two requests on one connection", async () => {
      const { stdout } = await curl("-k", "-w", "%{num_connects} ", `${at}/healthz`, `${at}/readyz`);
      assert.equal(stdout, "ok\n1 ready\n0 ");
    });

    test("HEAD: the headers of a GET", async () => {
      const names = /^(content-length|content-type|content-security-policy): .*$/gim;
      const [head, get] = await Promise.all([curl("-k", "-I", `${at}/words.js`), curl("-k", "-D", "-", "-o", join(dir, "app"), `${at}/words.js`)]);
      assert.match(head.stdout, /^HTTP\/1\.1 200 OK\r\n/);
      assert.deepEqual(head.stdout.match(names).sort(), get.stdout.match(names).sort());
      assert.match(head.stdout, new RegExp(`Content-Length: ${readFileSync(join(dir, "app")).length}\r\n`));
      assert.match(head.stdout, /\r\n\r\n$/); // and no body
    });

    test("two requests sent together", async () => {
      const said = await raw(server, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
      assert.match(said, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nok\nHTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nready\n$/);
    });

    test("a method and a path that are none", async () => {
      const { stdout } = await curl("-k", "-w", "%{http_code} ", "-o", "/dev/null", "-X", "DELETE", `${at}/`, "--next", ...limits, "-k",
        "-w", "%{http_code}", "-o", "/dev/null", `${at}/nothing`);
      assert.equal(stdout, "405 404");
    });

    if (!secure) {
      test("a unix socket", async () => assert.equal((await curl("--unix-socket", socket, "http://localhost/healthz")).stdout, "ok\n"));
    }

    test("the server ends with exit code 0", async () => assert.equal(await end(server.child), 0));
  });

  describe(`curl, ${scheme}: a service that embeds the engine`, () => {
    const body = join(dir, "body");
    const back = join(dir, "back");
    let service, at, trust;
    before(async () => {
      writeFileSync(body, randomBytes(3 << 20));
      const { key, cert } = makeCertificate();
      service = await startProgram(build(".", "e2e/service"), ...(secure ? ["-cert", cert, "-key", key] : []));
      assert.equal(service.secure, secure);
      at = `${scheme}://${service.host}`;
      trust = ["--cacert", cert];
    });
    after(endAll);

    const assertBack = () => assert.ok(readFileSync(back).equals(readFileSync(body)), "another body came back");

    test("a body of a known length", async () => {
      const { stdout } = await curl(...trust, "-D", "-", "-o", back, "-H", "Expect:", "--data-binary", `@${body}`, `${at}/body`);
      assert.match(stdout, /^HTTP\/1\.1 200 OK\r\n/);
      assert.match(stdout, /\r\nSeen-Length: 3145728\r\n/);
      assertBack();
    });

    test("a body in chunks", async () => {
      const { stdout } = await curl(...trust, "-D", "-", "-o", back, "-H", "Expect:", "-H", "Transfer-Encoding: chunked", "--data-binary", `@${body}`, `${at}/body`);
      assert.match(stdout, /\r\nSeen-Length: -1\r\n/);
      assertBack();
    });

    test("two bodies on one connection", async () => {
      const { stdout } = await curl(...trust, "-w", " %{num_connects} ", "-d", "first", `${at}/body`, "--next", ...limits, ...trust,
        "-w", " %{num_connects}", "-d", "second", `${at}/body`);
      assert.equal(stdout, "first 1 second 0");
    });

    test("Expect: 100-continue: a large body is asked for", async () => {
      const { stderr } = await curl(...trust, "-v", "-o", back, "--expect100-timeout", "15", "-H", "Expect: 100-continue", "--data-binary", `@${body}`, `${at}/body`);
      assert.match(stderr, /> Expect: 100-continue[^]*< HTTP\/1\.1 100 Continue[^]*< HTTP\/1\.1 200 OK/);
      assertBack();
    });

    test("Expect: 100-continue: a body that is refused doesn't come", async () => {
      const { stdout, stderr } = await curl(...trust, "-v", "-w", "%{http_code} %{size_upload}", "-o", back, "--expect100-timeout", "15",
        "-H", "Expect: 100-continue", "--data-binary", `@${body}`, `${at}/refused`);
      assert.equal(stdout, "413 0");
      assert.doesNotMatch(stderr, /100 Continue/);
    });

    test("a streamed answer comes part by part", async () => {
      const child = spawn("curl", [...limits, ...trust, "--no-buffer", `${at}/stream`], { stdio: ["ignore", "pipe", "inherit"] });
      const closed = once(child, "close");
      let said = "";
      child.stdout.on("data", (chunk) => (said += chunk));
      for (const so of ["part 0\n", "part 0\npart 1\n", "part 0\npart 1\npart 2\n"]) {
        while (said !== so) await once(child.stdout, "data");
        await curl(...trust, "-X", "POST", `${at}/next`);
      }
      assert.deepEqual(await closed, [0, null]);
      assert.equal(said, "part 0\npart 1\npart 2\n");
    });

    test("two bodies sent together", async () => {
      const post = (body, more = "") => `POST /body HTTP/1.1\r\nHost: h\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
      const said = await raw(service, post("a".repeat(70_000)) + post("b", "Connection: close\r\n"));
      assert.match(said.replace(/a{70000}/, "many a"), /\r\n\r\nmany aHTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nb$/);
    });

    test("WebSockets beside all that", async (t) => {
      const post = curl(...trust, "-o", back, "--limit-rate", "3M", "--data-binary", `@${body}`, `${at}/body`);
      await echo(t, service, { messages: 400, connections: 20, client: { rejectUnauthorized: false } });
      await post;
      assertBack();
    });

    test("the service ends with exit code 0", async () => assert.equal(await end(service.child), 0));
  });
}
