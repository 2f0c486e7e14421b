// An echo server on Bun's own WebSockets, which stand on uWebSockets: bun bun.mjs DEFLATE [CERT KEY]. It says where it
// listens, and ends with its input.
const [deflate, cert, key] = process.argv.slice(2);
const server = Bun.serve({
	hostname: '127.0.0.1',
	port: 0,
	tls: cert ? { cert: Bun.file(cert), key: Bun.file(key) } : undefined,
	fetch: (request, server) => (server.upgrade(request) ? undefined : new Response('a WebSocket is wanted', { status: 426 })),
	websocket: {
		perMessageDeflate: { no: false, single: { compress: 'shared', decompress: 'shared' }, takeover: { compress: 'dedicated', decompress: 'dedicated' } }[deflate],
		maxPayloadLength: 4 << 20,
		backpressureLimit: 64 << 20,
		idleTimeout: 960,
		sendPings: false,
		message: (ws, data) => void ws.send(data, deflate !== 'no'),
	},
});
console.log(`listening ${server.hostname}:${server.port}`);
process.stdin.on('end', () => process.exit(0)).resume();
