"""A plain TCP balancer on 127.0.0.1: `balancer.py PORT TARGET...`. Each connection goes to the next target, which knows nothing of the
others; one that does not answer is passed over."""

import asyncio
import itertools
import sys


async def pipe(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def main(port, targets):
    turn = itertools.cycle(targets)

    async def connect():
        for _ in targets:
            host, target = next(turn).rsplit(":", 1)
            try:
                return await asyncio.open_connection(host, int(target))
            except OSError:
                continue
        raise ConnectionError("no target answers")

    async def serve(reader, writer):
        try:
            far_reader, far_writer = await connect()
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))
            far_writer.close()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
