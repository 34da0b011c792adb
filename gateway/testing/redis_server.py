"""A Redis server for one test."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


REDIS_SERVERS = ("redis-server", "valkey-server")
"""Programs that serve Redis, the preferred one first."""
START_S = 20


class RedisServer:
    """A Redis server on loopback and a free port, with its files in a folder. Holds the process."""

    def __init__(self, folder: Path, *options: str) -> None:
        """`options` are further arguments of the program.

        Raises FileNotFoundError, which says how to install one, where no such program is
        installed.
        """
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
        """Starts the server and returns when it answers. Raises RuntimeError with its log where it
        does not."""
        with self._log.open("ab") as log:
            # The arguments are the class's own.
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)  # noqa: S603
        deadline = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"Redis did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal: SIGSTOP pauses the server, SIGCONT resumes it, SIGKILL ends it at
        once."""
        assert self.process is not None
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait()

    def stop(self) -> None:
        """Kills the server, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) in (b"+PONG\r\n", b"-NOAUTH")
        except OSError:
            return False
