// An echo server on the ws package: node node.mjs DEFLATE [CERT KEY]. It says where it listens, and ends with its input.
import { createServer as http } from 'node:http';
import { createServer as https } from 'node:https';
import { readFileSync } from 'node:fs';
import { WebSocketServer } from 'ws';

const [deflate, cert, key] = process.argv.slice(2);
const takeover = deflate === 'takeover';
const perMessageDeflate = deflate !== 'no' && {
	serverNoContextTakeover: !takeover,
	clientNoContextTakeover: !takeover,
	threshold: 0,
	zlibDeflateOptions: { level: 1 },
};
const server = cert ? https({ cert: readFileSync(cert), key: readFileSync(key) }) : http();
const sockets = new WebSocketServer({ server, perMessageDeflate, maxPayload: 4 << 20 });
sockets.on('connection', (ws) => {
	ws.on('error', () => {});
	ws.on('message', (data, binary) => ws.send(data, { binary }));
});
server.listen(0, '127.0.0.1', 4096, () => console.log(`listening 127.0.0.1:${server.address().port}`));
process.stdin.on('end', () => process.exit(0)).resume();
