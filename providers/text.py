"""Kind `text`: reads text with RapidOCR (PP-OCR networks in ONNX), which ships its networks in its
own package.

Loading them takes about three seconds. `create` does it, so that the first picture need not wait.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from providers.base import Provider
from providers.detection import Box, Detection, Task
from providers.engine.look import RunningLook, run_session
from providers.engine.memory import loaded_with_growth
from providers.engine.worker import LocalProvider
from providers.errors import Misconfigured
from providers.extras import import_package
from providers.options import Canvas, CanvasSize, about_of
from providers.options import Options as ProviderOptions

Engine = Callable[..., Any]
"""`RapidOCR()`: takes a BGR array (h, w, 3) and returns an object with txts, scores, boxes
(n, 4, 2) in px and word_results."""

Polygon = tuple[tuple[float, float], ...]

DEFAULT_MAX_SIDE_PX = 2000
"""RapidOCR's own limit of a picture's longer side. A wider canvas raises it."""


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
    """One word; `corners_px` are four, clockwise from its top left."""

    text: str
    corners_px: Sequence[Sequence[float]]


class OcrLine(NamedTuple):
    """One line and its words, as far as they are known."""

    text: str
    score: float
    corners_px: Sequence[Sequence[float]]
    words: tuple[OcrWord, ...]


class EndableEngine:
    """An `Engine` of RapidOCR whose networks stop when the look under way is ended. Holds that
    look."""

    def __init__(self, engine: Any) -> None:
        """Puts a session that can be stopped in the place of each session that is loaded."""
        self.current_look: RunningLook | None = None
        self._engine = engine
        for part in (engine.text_det, engine.text_cls, engine.text_rec):
            if part is not None:
                part.session.session = _EndableSession(part.session.session, self)

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        return self._engine(*arguments, **settings)


class _EndableSession:
    """An ONNX Runtime session that runs for an engine's look."""

    def __init__(self, session: Any, engine: EndableEngine) -> None:
        self._session = session
        self._engine = engine

    def run(self, names: Sequence[str], feeds: Mapping[str, Any]) -> list[Any]:
        return run_session(self._session, names, feeds, self._engine.current_look)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class OcrReader:
    """A `Detector` that reads text, and whose looks can be ended. An engine keeps settings of its
    last call, so each call borrows an idle engine for itself.

    State: the idle engines.
    """

    def __init__(self, engines: Sequence[Engine], min_score: float) -> None:
        self._idle: queue.SimpleQueue[Engine] = queue.SimpleQueue()
        self._min_score = min_score
        for engine in engines:
            self._idle.put(engine)

    def __call__(self, image: Image.Image) -> list[Detection]:
        return self.look(image, None)

    def look(self, image: Image.Image, look: RunningLook | None) -> list[Detection]:
        """The text on an RGB image, as `EndableDetector` has it."""
        engine = self._idle.get()
        try:
            if isinstance(engine, EndableEngine):
                engine.current_look = look
            lines = read_lines(engine, image)
        finally:
            self._idle.put(engine)
        detections: list[Detection] = []
        for key, line in enumerate(line for line in lines if line.score >= self._min_score):
            detections += _detections(key, line, image.size)
        return detections


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider, its networks loaded. Raises Misconfigured if RapidOCR or its networks are
    missing."""
    import_package("onnxruntime", "ocr")
    package = import_package("rapidocr", "ocr")
    try:
        engines, memory_bytes = loaded_with_growth(
            lambda: [_load(package, options) for _ in range(options.concurrency)]
        )
    except Exception as error:  # RapidOCR documents no exceptions
        raise Misconfigured(f"{name}: RapidOCR could not load its networks: {error}") from error
    reader = OcrReader(engines, options.floor)
    return LocalProvider(
        replace(about_of(name, options, frozenset({Task.TEXT})), wants="drawing", in_process=True),
        reader,
        options.timeout_ms,
        memory_bytes=memory_bytes,
    )


def _load(package: Any, options: Options) -> Engine:
    """An engine that has run once, because RapidOCR reads the file of a network at its first use.
    It logs errors only."""
    engine = package.RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.text_score": 0.0,
            "Global.use_cls": options.rotated,
            "Global.max_side_len": max(DEFAULT_MAX_SIDE_PX, *options.canvas),
            "EngineConfig.onnxruntime.intra_op_num_threads": options.threads,
        }
    )
    blank = np.full((48, 48, 3), 255, dtype=np.uint8)
    engine(blank, use_det=True)
    engine(blank, use_det=False)
    return EndableEngine(engine)


def read_lines(engine: Engine, image: Image.Image) -> list[OcrLine]:
    """The lines of an RGB image. They have no words if RapidOCR fails on the words of a line, with
    an IndexError."""
    bgr = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
    try:
        return list(_lines(engine(bgr, use_det=True, return_word_box=True)))
    except IndexError:
        return list(_lines(engine(bgr, use_det=True, return_word_box=False)))


def _lines(output: Any) -> Iterator[OcrLine]:
    if not output.txts:
        return
    words_by_line = _words_by_line(output.txts, output.word_results)
    for text, score, corners, words in zip(
        output.txts, output.scores, output.boxes, words_by_line, strict=True
    ):
        yield OcrLine(text, float(score), corners.tolist(), words)


def _words_by_line(texts: Sequence[str], groups: Sequence[Any]) -> Iterator[tuple[OcrWord, ...]]:
    """The words of each line. RapidOCR leaves out lines without words; if it did, the text of the
    words tells which lines are missing."""
    word_groups = [words for words in map(_words, groups) if words]
    complete = len(word_groups) == len(texts)
    for text in texts:
        fits = word_groups and (complete or _text_of(word_groups[0]) == "".join(text.split()))
        yield word_groups.pop(0) if fits else ()


def _text_of(words: Sequence[OcrWord]) -> str:
    return "".join(word.text for word in words)


def _words(group: Any) -> tuple[OcrWord, ...]:
    """The words of one line, from RapidOCR's triples of text, score and corners. If it found none,
    the group is something else.

    The score of the k-th word is that of the k-th character (RapidOCR 3.10), so it is not used.
    """
    if not isinstance(group, list | tuple):
        return ()
    words: list[OcrWord] = []
    for item in group:
        if isinstance(item, list | tuple) and len(item) == 3:
            text, _, corners = item
            if text.strip() and corners is not None:
                words.append(OcrWord(text, corners))
    return tuple(words)


def _detections(key: int, line: OcrLine, size_px: tuple[int, int]) -> Iterator[Detection]:
    """The line and then its words, which take over its score."""
    corners = _fractions(line.corners_px, size_px)
    yield Detection(line.text, line.score, Box.around(corners), "LINE", corners, key=key)
    for word in line.words:
        corners = _fractions(word.corners_px, size_px)
        yield Detection(word.text, line.score, Box.around(corners), "WORD", corners, parent=key)


def _fractions(corners_px: Sequence[Sequence[float]], size_px: tuple[int, int]) -> Polygon:
    return tuple((float(x) / size_px[0], float(y) / size_px[1]) for x, y in corners_px)
