"""A Redis of a test's own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path


def free_port() -> int:
    """A port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


REDIS_SERVERS = ("redis-server", "valkey-server")


class RedisServer:
    """A Redis of one's own, on loopback and a free port, whose files are in `folder`. Holds the
    process.

    Raises FileNotFoundError, saying how to get one, where there is none on this machine.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        program = next(filter(None, map(shutil.which, REDIS_SERVERS)), None)
        if program is None:
            raise FileNotFoundError(
                "There is no redis-server on this machine. Debian and Ubuntu: apt-get install "
                "redis-server; macOS: brew install redis; Fedora: dnf install valkey."
            )
        self.port = free_port()
        self._command = [
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(folder),
            "--save",
            "",
            *options,
        ]
        self._log = folder / "redis.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it answers. Raises RuntimeError with its log where it does not."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)  # noqa: S603  our own arguments
        until = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError(f"Redis did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP pauses it, SIGCONT has it go on, SIGKILL is the worst that can happen."""
        assert self.process is not None
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                link.sendall(b"PING\r\n")
                return link.recv(7) in (b"+PONG\r\n", b"-NOAUTH")
        except OSError:
            return False
