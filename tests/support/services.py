"""Small HTTP services that stand in for those that a provider asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Call(NamedTuple):
    """A request as a service got it."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


Reply = tuple[int, Mapping[str, Any], Any] | None
"""Status, headers, and a body: JSON unless it is bytes. None hangs up."""


@contextmanager
def service(answer: Callable[[Call], Reply]) -> Iterator[str]:
    """The address of a service that gives each call the reply of `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if (reply := answer(Call(self.path, self.headers, body, self.command))) is None:
                return
            status, headers, content = reply
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": len(data),
                **headers,
            }.items():
                self.send_header(name, str(value))
            with suppress(ConnectionError):  # the client may have gone
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
