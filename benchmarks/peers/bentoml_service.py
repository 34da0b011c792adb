"""BentoML: a process a worker, the photo as the whole body of the request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from detector import Detector


@bentoml.service(workers=int(os.environ["PEER_WORKERS"]), logging={"access": {"enabled": False}})
class Peer:
    def __init__(self) -> None:
        self.detector = Detector.from_environment()

    @bentoml.api
    def detect(self, photo: Annotated[Path, ContentType("image/jpeg")], /) -> list[list[float]]:
        return self.detector(photo.read_bytes()).tolist()
