"""The peers: how each is installed, started and asked."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
import numpy as np
import tritonclient.http as triton
from engine_parts import Request, Setup, cores, jpeg_request, json_request, process_tree

FOLDER = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "imgrid-peers"
START_S, START_TRIES, STOP_S = 120, 3, 10
OIP_PATH = "/v2/models/detector/infer"


class PeerFailed(Exception):
    """A peer that cannot be installed or started here, and why."""


class Peer(NamedTuple):
    """A server: its package, the command in its environment, the path and form of its requests,
    and the boxes (n, 6) in its answers."""

    name: str
    package: str
    command: tuple[str, ...]
    path: str
    request: Callable[[bytes], Request]
    boxes: Callable[[bytes], Any]

    @property
    def requirements(self) -> Path:
        """The file of what is installed for it."""
        return FOLDER / f"requirements-{self.package}.txt"


def litserve_request(photo: bytes) -> Request:
    """The photo in base64, in JSON."""
    return json_request({"image": base64.b64encode(photo).decode()})


def mlserver_request(photo: bytes) -> Request:
    """The photo in base64, as a tensor of the Open Inference Protocol's JSON."""
    tensor = {
        "name": "photo",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(photo).decode()],
    }
    return json_request({"inputs": [tensor]})


def triton_request(photo: bytes) -> Request:
    """The photo as a binary tensor, by Triton's client; the boxes are few, and come as JSON."""
    tensor = triton.InferInput("photo", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([photo], np.object_))
    output = triton.InferRequestedOutput("boxes", binary_data=False)
    client = triton.InferenceServerClient
    body, json_bytes = client.generate_request_body([tensor], outputs=[output])
    return Request(body, {"Inference-Header-Content-Length": str(json_bytes)})


def oip_boxes(body: bytes) -> Any:
    """The boxes, flat, in an answer of the Open Inference Protocol's JSON."""
    return json.loads(body)["outputs"][0]["data"]


PEERS = {
    "asyncio": Peer(
        "asyncio, 30 lines",
        "asyncio",
        ("python", "asyncio_server.py"),
        "/",
        jpeg_request,
        json.loads,
    ),
    "litserve": Peer(
        "LitServe",
        "litserve",
        ("python", "litserve_server.py"),
        "/predict",
        litserve_request,
        lambda body: json.loads(body)["boxes"],
    ),
    "triton": Peer(
        "Triton",
        "triton",
        ("python", "triton_server.py"),
        OIP_PATH,
        triton_request,
        oip_boxes,
    ),
    "mlserver": Peer(
        "MLServer", "mlserver", ("mlserver", "start", "."), OIP_PATH, mlserver_request, oip_boxes
    ),
    "bentoml": Peer(
        "BentoML",
        "bentoml",
        ("bentoml", "serve", "bentoml_service:Peer"),
        "/detect",
        jpeg_request,
        json.loads,
    ),
}


def environment(peer: Peer, python: str) -> Path:
    """The folder of the peer's virtual environment, which is made if it is missing.

    Raises PeerFailed with pip's words.
    """
    key = hashlib.sha256()
    for text in (shutil.which(python) or python, peer.requirements.read_text()):
        key.update(text.encode())
    folder = CACHE / f"{peer.package}-{key.hexdigest()[:12]}"
    if not (folder / "installed").exists():
        pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "-r", peer.requirements]
        for command in ([python, "-m", "venv", "--clear", folder], pip):
            result = subprocess.run(command, check=False, capture_output=True, text=True)
            if result.returncode:
                raise PeerFailed(f"not installed: {_reason(result.stderr)}")
        (folder / "installed").touch()
    return folder


def versions(peer: Peer) -> str:
    """What its requirements pin."""
    lines = peer.requirements.read_text().splitlines()
    pins = [line.split("#")[0].strip() for line in lines]
    return ", ".join(pin.replace("==", " ") for pin in pins if pin)


@contextmanager
def running(peer: Peer, folder: Path, setup: Setup, request: Request) -> Iterator[tuple[str, int]]:
    """The place to ask and the process id of a peer that has answered a request.

    It stays in this session: on a busy machine Linux shares the cores out by sessions.

    Raises PeerFailed with the last words of its log.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}{peer.path}"
    with TemporaryDirectory() as temporary:
        work = Path(shutil.copytree(FOLDER, Path(temporary) / "peers"))  # some write beside it
        command = [str(folder / "bin" / peer.command[0]), *peer.command[1:]]
        server = _started(command, work, _variables(setup, port), partial(_answers, url, request))
        try:
            yield url, server.pid
        finally:
            _stop(server)


def _started(
    command: list[str], work: Path, variables: dict[str, str], answers: Callable[[], bool]
) -> subprocess.Popen[bytes]:
    """A server that answers. Some start by time limits that a busy machine breaks, so it may try
    START_TRIES times."""
    log = work / "log"
    for _ in range(START_TRIES):
        with log.open("w") as out:
            server = subprocess.Popen(command, cwd=work, env=variables, stdout=out, stderr=out)
        until = time.monotonic() + START_S
        while server.poll() is None and time.monotonic() < until:
            if answers():
                return server
            time.sleep(0.5)
        _stop(server)
    raise PeerFailed(f"not started: {_reason(log.read_text())}")


def _variables(setup: Setup, port: int) -> dict[str, str]:
    """The environment of a server: what is served, and what some take from there only."""
    return os.environ | {
        "PEER_MODEL": str(setup.model),
        "PEER_SIDE_PX": str(setup.side_px),
        "PEER_WORKERS": str(cores()),
        "PEER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOST": "127.0.0.1",
        "BENTOML_PORT": str(port),
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": str(_free_port()),
        "MLSERVER_METRICS_PORT": str(_free_port()),
        "MLSERVER_PARALLEL_WORKERS": str(cores()),
        "MLSERVER_DEBUG": "false",
        "MLSERVER_MODEL_NAME": "detector",
        "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_runtime.Runtime",
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(url: str, request: Request) -> bool:
    with suppress(httpx.TransportError):
        content, headers = request
        return httpx.post(url, content=content, headers=dict(headers)).is_success
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ends a server and all that it has started."""
    pids = process_tree(server.pid) if server.poll() is None else []
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(STOP_S)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.wait()


def _reason(log: str) -> str:
    """The last line that names an error, or the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["no word"]
    return next((line for line in reversed(lines) if "rror" in line), lines[-1])[:200]
