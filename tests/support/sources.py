"""Photos that lie in object stores and on the web, and a stand-in for a server that has some."""

from __future__ import annotations

from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydantic import SecretStr

from gateway.config.sections import S3Settings
from gateway.core.locations import folder_of
from gateway.core.model import Tenant
from gateway.intake.object_stores import ObjectStoreReader
from gateway.intake.sources import Sources

SHOP, PRESS = Tenant("shop", "shop"), Tenant("press", "press")
PHOTO = bytes(range(256)) * 4
ODD_NAME = "an odd/photo ?#%20+é&.jpg"
MAX_BYTES = 4096
S3_KEY = {"region": "us-east-1", "access_key": "AK", "secret_key": "SK"}
GS_PATH = "/storage/v1/b/shop/o/a.jpg?alt=media"
"""The path by which gs://shop/a.jpg is read."""

Reply = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


def s3_settings(endpoint: str) -> S3Settings:
    return S3Settings(
        region=S3_KEY["region"],
        endpoint=endpoint,
        access_key=S3_KEY["access_key"],
        secret_key=SecretStr(S3_KEY["secret_key"]),
    )


def open_sources(scheme: str, reader: ObjectStoreReader, folder: str) -> Sources:
    """The sources of a gateway in which one folder is open to every tenant."""
    return Sources({scheme: reader}, [folder_of(folder)], timeout_s=20)


def http_reply(body: bytes = PHOTO, status: int = 200, **headers: str) -> Reply:
    """A reply with its length."""
    return status, {"Content-Length": str(len(body)), **headers}, body


class StandInServer(ThreadingHTTPServer):
    """A stand-in for Cloud Storage or any other server. Holds its replies by path, and the path and
    headers of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: dict[str, Reply] = {}
        self.requests: list[tuple[str, Message]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: StandInServer

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers))
        missing = http_reply(b"", 404)
        status, headers, body = self.server.replies.get(self.path, missing)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
