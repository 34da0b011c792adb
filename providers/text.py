"""Kind `text`: reads text with RapidOCR (PP-OCR networks in ONNX), which ships its networks in its
own package.

Loading them takes about three seconds and is done in `create`, so that the first picture need not
wait.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from providers.base import Provider
from providers.detection import Box, Detection, Task
from providers.engine.worker import LocalProvider, introduce, need
from providers.errors import Misconfigured
from providers.options import Canvas, CanvasSize
from providers.options import Options as ProviderOptions

Engine = Callable[..., Any]
"""`RapidOCR()`: a BGR array (h, w, 3) in; out an object with txts, scores, boxes (n, 4, 2) in px
and word_results."""

Polygon = tuple[tuple[float, float], ...]

DOWNSCALED_BEYOND_PX = 2000
"""RapidOCR's own limit of a picture's longer side; a wider canvas lifts it."""


class Options(ProviderOptions):
    """Settings of kind `text`."""

    canvas: CanvasSize = Field(
        Canvas(1280, 1280), description="largest picture sent, width x height in pixels"
    )
    concurrency: int = Field(
        1, ge=1, le=256, description="pictures read at once; each loads its own networks"
    )
    timeout_ms: int = Field(60_000, ge=10, description="how long one call may take")
    floor: float = Field(0.3, ge=0, le=1, description="lines with a lower score are not reported")
    threads: int = Field(
        2, ge=1, description="threads of one picture; beyond the machine's cores: all cores"
    )
    rotated: bool = Field(
        False, description="also turn lines that stand upside down, which costs time"
    )


class OcrWord(NamedTuple):
    """A word read; `corners_px` are four, clockwise from its top left."""

    text: str
    corners_px: Sequence[Sequence[float]]


class OcrLine(NamedTuple):
    """A line read, and its words as far as they are known."""

    text: str
    score: float
    corners_px: Sequence[Sequence[float]]
    words: tuple[OcrWord, ...]


class OcrReader:
    """Reads with whichever engine is free, for an engine keeps settings of the last call and is
    lent to one at a time.

    State: the engines that are free.
    """

    def __init__(self, engines: Sequence[Engine], floor: float) -> None:
        self._free: queue.SimpleQueue[Engine] = queue.SimpleQueue()
        self._floor = floor
        for engine in engines:
            self._free.put(engine)

    def __call__(self, image: Image.Image) -> list[Detection]:
        engine = self._free.get()
        try:
            lines = read(engine, image)
        finally:
            self._free.put(engine)
        kept = (line for line in lines if line.score >= self._floor)
        return [
            found for key, line in enumerate(kept) for found in _detections(key, line, image.size)
        ]


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider, its networks loaded. Raises Misconfigured where RapidOCR is missing or has no
    networks."""
    need("onnxruntime", "ocr")
    package = need("rapidocr", "ocr")
    try:
        engines = [_load(package, options) for _ in range(options.concurrency)]
    except Exception as error:  # whatever RapidOCR raises here, it cannot be used
        raise Misconfigured(f"{name}: RapidOCR could not load its networks: {error}") from error
    return LocalProvider(
        introduce(name, options, Task.TEXT), OcrReader(engines, options.floor), options.timeout_ms
    )


def _load(package: Any, options: Options) -> Engine:
    """An engine that has run once: RapidOCR reads each network's file at its first use. It logs
    errors only."""
    engine: Engine = package.RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.text_score": 0.0,
            "Global.use_cls": options.rotated,
            "Global.max_side_len": max(DOWNSCALED_BEYOND_PX, *options.canvas),
            "EngineConfig.onnxruntime.intra_op_num_threads": options.threads,
        }
    )
    blank = np.full((48, 48, 3), 255, dtype=np.uint8)
    engine(blank, use_det=True)
    engine(blank, use_det=False)
    return engine


def read(engine: Engine, image: Image.Image) -> list[OcrLine]:
    """The lines of an RGB image. Words are left out where RapidOCR stumbles over a line's words (an
    IndexError)."""
    bgr = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
    try:
        return list(_lines(engine(bgr, use_det=True, return_word_box=True)))
    except IndexError:
        return list(_lines(engine(bgr, use_det=True, return_word_box=False)))


def _lines(output: Any) -> Iterator[OcrLine]:
    if not output.txts:
        return
    words = _words(output.txts, output.word_results)
    for text, score, corners, of_line in zip(
        output.txts, output.scores, output.boxes, words, strict=True
    ):
        yield OcrLine(text, float(score), corners.tolist(), of_line)


def _words(texts: Sequence[str], groups: Sequence[Any]) -> Iterator[tuple[OcrWord, ...]]:
    """Each line's words. RapidOCR leaves lines without words out; where it did, text tells which
    lines are missing."""
    known = [words for words in map(_group, groups) if words]
    complete = len(known) == len(texts)
    for text in texts:
        fits = known and (
            complete or "".join(word.text for word in known[0]) == "".join(text.split())
        )
        yield known.pop(0) if fits else ()


def _group(group: Any) -> tuple[OcrWord, ...]:
    """One line's words: RapidOCR's triples of text, score and corners, or something else where it
    found none.

    Its score of the k-th word is that of the k-th character (3.10), so it is not taken.
    """
    if not isinstance(group, list | tuple):
        return ()
    triples = (item for item in group if isinstance(item, list | tuple) and len(item) == 3)
    return tuple(
        OcrWord(text, corners)
        for text, _, corners in triples
        if text.strip() and corners is not None
    )


def _detections(key: int, line: OcrLine, size_px: tuple[int, int]) -> Iterator[Detection]:
    """The line and then its words, which take over its score."""
    polygon = _fractions(line.corners_px, size_px)
    yield Detection(line.text, line.score, _bounds(polygon), kind="LINE", polygon=polygon, key=key)
    for word in line.words:
        polygon = _fractions(word.corners_px, size_px)
        yield Detection(
            word.text, line.score, _bounds(polygon), kind="WORD", polygon=polygon, parent=key
        )


def _fractions(corners_px: Sequence[Sequence[float]], size_px: tuple[int, int]) -> Polygon:
    return tuple((float(x) / size_px[0], float(y) / size_px[1]) for x, y in corners_px)


def _bounds(polygon: Polygon) -> Box:
    corners: NDArray[np.float64] = np.array(polygon)
    return Box(*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
