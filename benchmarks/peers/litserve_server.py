"""LitServe: a process a worker, JSON with base64 as its documentation shows for pictures, and its
fast queue. Batches are off: on a CPU they make the network no faster."""

import base64
import os
from typing import Any

from detector import Detector
from litserve import LitAPI, LitServer


class Api(LitAPI):
    def setup(self, device: str) -> None:
        self.detector = Detector.from_environment()

    def decode_request(self, request) -> bytes:  # noqa: ANN001 - it reads the annotation
        return base64.b64decode(request["image"])

    def predict(self, photo: bytes) -> list[list[float]]:
        return self.detector(photo).tolist()

    def encode_response(self, boxes: list[list[float]]) -> dict[str, Any]:
        return {"boxes": boxes}


if __name__ == "__main__":
    server = LitServer(
        Api(),
        accelerator="cpu",
        workers_per_device=int(os.environ["PEER_WORKERS"]),
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        log_level="warning",
        generate_client_file=False,
    )
