"""asyncio as in the echo server of its documentation: a protocol.

`--uvloop` before the address runs the same code on uvloop. Both set TCP_NODELAY by default.
"""

import asyncio
import sys


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def serve(host, port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, host, int(port), backlog=4096)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", file=sys.stderr, flush=True)
    await server.serve_forever()


def main(run, addr):
    host, _, port = addr.rpartition(":")
    if not host or not port.isdecimal():
        sys.exit(f"{addr}: an address such as 127.0.0.1:7007 was expected; port 0 takes a free one")
    try:
        run(serve(host, port))
    except OSError as error:
        sys.exit(f"cannot serve on {addr}: {error}")


match sys.argv[1:]:
    case ["--uvloop", addr]:
        import uvloop

        main(uvloop.run, addr)
    case [addr]:
        main(asyncio.run, addr)
    case _:
        print(f"usage: {sys.argv[0]} [--uvloop] ADDR", file=sys.stderr)
        sys.exit(2)
