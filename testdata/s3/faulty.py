"""A network to a service for S3 in which one request of ten goes wrong, and clients that push through a registry behind it.

    faulty.py proxy PORT TARGET COUNTS   on 127.0.0.1, in front of HOST:PORT; COUNTS is a file that says what happened to how many
    faulty.py push REGISTRY STATE        several clients at once; STATE is what was acknowledged, `N passed, M failed` what is so
    faulty.py pull REGISTRY STATE COUNTS everything that was acknowledged is there, and every fault has happened

A request is answered 500 after it was carried out, answered 503 instead, answered with half of a body, or not at all; reads and
writes alike. No connection is used twice."""

import asyncio
import json
import pathlib
import random
import sys
import threading
import time

from wire import GONE, Image

FAULTS = ["500", "503", "truncated", "timeout"]
CLIENTS, IMAGES = 12, 6


async def read_message(reader):
    """One whole message; its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return head, await reader.readexactly(length)


def error(status, code):
    body = f"<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


async def proxy(port, target, counts_path):
    host, service = target.rsplit(":", 1)
    dice, counts = random.Random(4711), {}

    async def carry_out(head, body):
        reader, writer = await asyncio.open_connection(host, int(service))
        writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
        answer = await reader.read(-1)
        writer.close()
        return answer

    async def serve(reader, writer):
        try:
            head, body = await read_message(reader)
            fault = dice.choice(FAULTS) if dice.random() < 0.1 else None
            if fault == "timeout" and dice.random() < 0.8:
                # Every one takes the client's whole patience, so few will do.
                fault = dice.choice(FAULTS[:3])
            kind = "read" if head.startswith((b"GET", b"HEAD")) else "write"
            name = f"{fault or 'good'} {kind}"
            counts[name] = counts.get(name, 0) + 1
            counts_path.write_text(json.dumps(counts))
            if fault == "503":
                writer.write(error("503 Slow Down", "SlowDown"))
                return
            answer = await carry_out(head, body)
            if fault == "500":
                answer = error("500 Internal Server Error", "InternalError")
            elif fault == "truncated":
                answer = answer[: len(answer) * 2 // 3]
            elif fault == "timeout":
                await reader.read(1)
                return
            writer.write(answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 20)
    async with server:
        await server.serve_forever()


def image(client, number):
    base = f"base {number % 3} ".encode() * 20000
    return Image(f"team/app{client % 2}", [json.dumps([client, number]).encode(), base, f"{client} {number} ".encode() * 9000])


def push(address, state):
    told = {}

    def work(client):
        for number in range(IMAGES):
            one = image(client, number)
            try:
                status = one.push(address, f"v{client}-{number}")
            except GONE:
                status = 0
            told[f"{client} {number}"] = status

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state.write_text(json.dumps(told))
    good = sum(status == 201 for status in told.values())
    print(f"{good} of {len(told)} pushes acknowledged; others: {sorted(s for s in told.values() if s != 201)}")
    assert good > len(told) * 3 / 4, "too few went well to prove anything"


def pull(address, state, counts_path):
    for name, status in json.loads(state.read_text()).items():
        client, number = map(int, name.split())
        there = image(client, number).pull(address)
        assert status != 201 or there, f"an acknowledged push is lost: {name}"
    counts = json.loads(counts_path.read_text())
    print(counts)
    for fault in FAULTS:
        for kind in ("read", "write"):
            assert counts.get(f"{fault} {kind}", 0) > 0, f"it never happened: {fault} {kind}"
    bad = sum(count for name, count in counts.items() if not name.startswith("good"))
    assert bad * 20 > sum(counts.values()), f"{bad} of {sum(counts.values())} went wrong"


if __name__ == "__main__":
    arguments = sys.argv[2:]
    if sys.argv[1] == "proxy":
        asyncio.run(proxy(int(arguments[0]), arguments[1], pathlib.Path(arguments[2])))
    elif sys.argv[1] == "push":
        begun = time.monotonic()
        push(arguments[0], pathlib.Path(arguments[1]))
        print(f"{time.monotonic() - begun:.0f} s")
    else:
        pull(arguments[0], pathlib.Path(arguments[1]), pathlib.Path(arguments[2]))
