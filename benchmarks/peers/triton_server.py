"""Triton by pytriton: an instance of the model a worker, photos as binary tensors of bytes.

Its Python needs a shared libpython, as those of Linux distributions and python.org's images have.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from detector import Detector
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def instance() -> Callable[[Sequence[Any]], list[dict[str, Any]]]:
    detector = Detector.from_environment()

    def infer(requests: Sequence[Any]) -> list[dict[str, Any]]:
        # A row of zeros more: an output without rows is answered with 500.
        return [
            {"boxes": np.pad(detector(request["photo"].item()), ((0, 1), (0, 0)))}
            for request in requests
        ]

    return infer


if __name__ == "__main__":
    port = int(os.environ["PEER_PORT"])
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=port,
        allow_grpc=False,
        allow_metrics=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="detector",
            infer_func=[instance() for _ in range(int(os.environ["PEER_WORKERS"]))],
            inputs=[Tensor(name="photo", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="boxes", dtype=np.float32, shape=(-1, 6))],
            config=ModelConfig(batching=False),
        )
        triton.serve()
