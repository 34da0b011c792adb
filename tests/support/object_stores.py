"""Stand-ins for object stores: moto's S3, and a small server in place of Cloud Storage."""

from __future__ import annotations

from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydantic import SecretStr

from gateway.config.sections import S3Settings
from gateway.core.model import Tenant

SHOP, PRESS = Tenant("shop", "shop"), Tenant("press", "press")


PHOTO = bytes(range(256)) * 4


ODD = "an odd/photo ?#%20+é&.jpg"


MOST = 4096


def own_credentials(endpoint: str) -> dict[str, str]:
    return {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "AK",
        "aws_secret_access_key": "SK",
    }


def settings_of(endpoint: str) -> S3Settings:
    return S3Settings(
        region="us-east-1", endpoint=endpoint, access_key="AK", secret_key=SecretStr("SK")
    )


class Answers(ThreadingHTTPServer):
    """A stand-in for Cloud Storage, or any other server. Holds its answers by path, and the
    requests it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AnswersHandler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[tuple[str, Message]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class AnswersHandler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers))
        status, headers, body = self.server.answers.get(
            self.path, (404, {"Content-Length": "0"}, b"")
        )
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def reply_with(
    body: bytes = PHOTO, status: int = 200, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Length": str(len(body)), **headers}, body


A = "/storage/v1/b/shop/o/a.jpg?alt=media"
