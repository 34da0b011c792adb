"""The reachable bound: HTTP by asyncio's streams, and a thread a core."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor

from detector import Detector


async def main() -> None:
    detector, pool = (
        Detector.from_environment(),
        ThreadPoolExecutor(int(os.environ["PEER_WORKERS"])),
    )
    loop = asyncio.get_running_loop()

    def answer(photo: bytes) -> bytes:
        body = json.dumps(detector(photo).tolist()).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                photo = await reader.readexactly(length)
                writer.write(await loop.run_in_executor(pool, answer, photo))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(
        connection, "127.0.0.1", int(os.environ["PEER_PORT"]), limit=1 << 20
    )
    await server.serve_forever()


asyncio.run(main())
