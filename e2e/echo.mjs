// Random messages by the ws client, each compared with its echo, byte for byte.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import { WebSocket } from "ws";

const largest = 1 << 20;
const edges = [0, 1, 125, 126, 127, 65535, 65536, largest];
const bytesInFlight = 2 << 20; // under what the server queues for a connection
const messagesInFlight = 16;
const silence = 20_000; // ms without any frame: the echo is lost

/** A seeded source of numbers from 0 to 1 (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Text and bytes, of which the messages are pieces. */
function makePools(rand) {
  const letters = ["a", "Z", " ", "\n", "\0", "é", "ß", "Ж", "水", "車", "한", "\uFFFD", "\uFEFF", "🌊", "👩‍🔧"];
  let text = "";
  for (let n = 0; n < 1 << 19; n++) text += letters[Math.floor(rand() * letters.length)];
  const words = Uint32Array.from({ length: largest / 2 }, () => rand() * 2 ** 32);
  return { text: Buffer.from(text), binary: Buffer.from(words.buffer) };
}

/** Sizes spread over the orders of magnitude: as many from 10 to 100 bytes as from 10 to 100 KB, and fewer beyond. */
const sizeOf = (rand, limit) => Math.floor(limit ** (rand() ** 1.3));

function pieceOf(pool, size, isText, rand) {
  let from = Math.floor(rand() * (pool.length - size));
  let to = from + size;
  const within = (i) => isText && i < pool.length && (pool[i] & 0xc0) === 0x80; // the middle of a character
  while (within(from)) from++;
  while (to > from && within(to)) to--;
  return pool.subarray(Math.min(from, to), to);
}

/** Sends one message, in one frame or in several with pings between them, and with one before it at least if it is the first; gives the pings. */
function sendMessage(ws, message, isText, isFirst, rand) {
  const pings = [];
  const ping = () => {
    const payload = Buffer.from(`${rand()}`.repeat(5).slice(0, Math.floor(rand() * 80)));
    pings.push(payload);
    ws.ping(payload);
  };
  const frames = rand() < 0.3 ? 2 + Math.floor(rand() * 4) : 1;
  const cuts = Array.from({ length: frames - 1 }, () => Math.floor(rand() * (message.length + 1))).sort((a, b) => a - b);
  [...cuts, message.length].forEach((to, i) => {
    if (rand() < 0.1 || (isFirst && i === 0)) ping();
    ws.send(message.subarray(cuts[i - 1] ?? 0, to), { binary: !isText, fin: i === frames - 1 });
  });
  return pings;
}

/** One connection: sends count messages and checks what comes back. */
async function converse(url, options, count, seed, pools, stats) {
  const rand = random(seed);
  const ws = new WebSocket(url, options.client);
  const greeting = options.greeting && once(ws, "message");
  await once(ws, "open");
  if (greeting) assert.equal((await greeting)[0].toString(), options.greeting);
  assert.match(ws.extensions, options.extensions ?? /^$/);
  const limit = options.largest ?? largest;
  const awaited = []; // messages whose echo is to come
  const pings = [];
  let sent = 0;
  let inFlight = 0;
  await new Promise((resolve, reject) => {
    let watch = setTimeout(() => {}, 0);
    const fail = (why) => {
      clearTimeout(watch);
      ws.terminate();
      reject(new Error(`seed ${seed}, after ${sent - awaited.length} echoes: ${why}`));
    };
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => fail(`nothing came for ${silence} ms; ${awaited.length} echoes are missing`), silence);
    };
    const pump = () => {
      alive();
      while (sent < count && awaited.length < messagesInFlight && (inFlight < bytesInFlight - largest || inFlight === 0)) {
        const isText = rand() < 0.5;
        const message = pieceOf(isText ? pools.text : pools.binary, Math.min(limit, edges[sent] ?? sizeOf(rand, limit)), isText, rand);
        awaited.push({ message, isText });
        const sentPings = sendMessage(ws, message, isText, sent === 0, rand);
        pings.push(...sentPings);
        stats.pings += sentPings.length;
        inFlight += message.length;
        stats.bytes += message.length;
        sent++;
      }
      if (sent === count && awaited.length === 0 && pings.length === 0) {
        clearTimeout(watch);
        resolve();
      }
    };
    ws.on("message", (data, isBinary) => {
      const want = awaited.shift();
      if (!want) return fail("a message that nobody sent");
      if (isBinary === want.isText) return fail("text came back as binary, or binary as text");
      if (!data.equals(want.message)) return fail(`${want.message.length} bytes came back as ${data.length} others`);
      stats.echoes++;
      inFlight -= data.length;
      pump();
    });
    ws.on("pong", (data) => {
      const want = pings.shift();
      if (!want?.equals(data)) return fail(`pong ${data} for ping ${want}`);
      stats.pongs++;
      pump();
    });
    ws.on("error", fail);
    ws.on("close", (code, reason) => fail(`closed with ${code} ${reason}`));
    pump();
  });
  ws.removeAllListeners("close");
  ws.close(1000, "done");
  const [code] = await once(ws, "close");
  assert.equal(code, 1000);
  stats.read += ws._socket.bytesRead;
  stats.written += ws._socket.bytesWritten;
}

/**
 * Echoes messages over several connections at once, and tells what it did. path is where, greeting what the server says first,
 * client are options of ws, extensions is what the server has to agree to, largest the most bytes of a message.
 */
export async function echo(t, { host, secure }, options) {
  const { messages, connections, path = "/echo" } = options;
  const seed = Number(process.env.E2E_SEED || Date.now() % 2 ** 31);
  const pools = makePools(random(seed));
  const stats = { echoes: 0, pings: 0, pongs: 0, bytes: 0, read: 0, written: 0 };
  const began = Date.now();
  await Promise.all(
    Array.from({ length: connections }, (_, i) => converse(`${secure ? "wss" : "ws"}://${host}${path}`, options, messages / connections, seed + i, pools, stats)),
  ).catch((e) => {
    throw new Error(`${e.message} (again with E2E_SEED=${seed})`, { cause: e });
  });
  assert.equal(stats.echoes, messages);
  assert.equal(stats.pongs, stats.pings);
  assert.ok(stats.pings >= connections, `${stats.pings} pings`);
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  t.diagnostic(`${stats.echoes} messages, ${(stats.bytes / 2 ** 20).toFixed(0)} MiB each way, ${stats.pongs} pongs, ${seconds} s, seed ${seed}`);
  return stats;
}

/** What a server must refuse, and how. */
export async function refusals(t, { host, secure }) {
  const at = (scheme, path) => `${scheme}${secure ? "s" : ""}://${host}${path}`;
  await t.test("a message over 1 MiB: 1009", async () => {
    const ws = new WebSocket(at("ws", "/echo"), { rejectUnauthorized: false });
    await once(ws, "open");
    ws.send(Buffer.alloc(largest + 1));
    const [code] = await once(ws, "close");
    assert.equal(code, 1009);
  });

  await t.test("a path that is none: 404", async () => {
    const ws = new WebSocket(at("ws", "/nothing"), { rejectUnauthorized: false });
    const [, response] = await once(ws, "unexpected-response");
    assert.equal(response.statusCode, 404);
    response.destroy();
  });

  await t.test("another origin: 403", async () => {
    const ws = new WebSocket(at("ws", "/echo"), { origin: "https://example.com", rejectUnauthorized: false });
    const [, response] = await once(ws, "unexpected-response");
    assert.equal(response.statusCode, 403);
    response.destroy();
  });

  await t.test("a plain GET: 426", async () => {
    const [response] = await once((secure ? https : http).get(at("http", "/echo"), { rejectUnauthorized: false }), "response");
    assert.equal(response.statusCode, 426);
    assert.match(String((await response.toArray())[0]), /WebSocket/);
  });
}
