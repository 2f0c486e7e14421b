// An echo server for Bun to run: bun bun-echo.mjs [CERTIFICATE KEY]. It says where it listens.

const [cert, key] = process.argv.slice(2);
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  ...(cert && { tls: { cert: Bun.file(cert), key: Bun.file(key) } }),
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("a WebSocket is wanted", { status: 426 })),
  websocket: {
    perMessageDeflate: true,
    message: (ws, message) => void ws.send(message),
  },
});
console.log(`${cert ? "https" : "http"}://127.0.0.1:${server.port}/`);
