// Node.js with its usual idiom: a stream piped into itself. Reads have 64 KiB, as libuv suggests.
import { createServer } from 'node:net';

const [addr, ...rest] = process.argv.slice(2);
const [, host, port] = addr?.match(/^(.+):(\d+)$/) ?? [];
if (!host || rest.length) {
  console.error('usage: echo.mjs ADDR, such as 127.0.0.1:7007; port 0 takes a free one');
  process.exit(2);
}

const server = createServer({ noDelay: true }, (socket) => {
  // Without this handler, a reset would end the program.
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
server.on('error', (error) => {
  console.error(`cannot serve on ${addr}: ${error.message}`);
  process.exit(1);
});
server.listen({ host, port: Number(port), backlog: 4096 }, () => {
  const { address, port } = server.address();
  console.error(`listening on ${address}:${port}`);
});
