"""How fast the difference filter is beside a detector, on one core, decoding apart.

A film is made of photos: each stays for --still frames, on which a sensor's noise varies. Rounds
are interleaved; each times one after the other: the filter on thumbnails, thumbnails of decoded
frames (PyAV's, as videos have them) and the filter, the detector on decoded frames (its resize, the
network, its reader), and decoding the film (MPEG-4). Rates are frames a second, medians of the
rounds; the ratios are medians of the rounds' ratios.

With --plan it plans a threshold instead: clips on which a camera's view slides over a photo, at a
speed of its own, from none to 2 % of the photo's width a frame; the detector answers every frame,
and a reused answer loses 1 - F1 (IoU 0.5, scores of at least 0.3). The threshold is planned on half
of the clips and tried on the others.

python benchmarks/difference_filter.py [--still 25] [--rounds 5] [--plan]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from common import photos
from engine_parts import MODELS
from PIL import Image
from rich.console import Console
from rich.table import Table

from gateway.batch.difference import AnsweredFrame, plan_threshold
from gateway.batch.video import VideoFrame, VideoLimits, video_frames
from providers import onnx
from providers.engine.loading import OnnxDetector, load_model
from thresholds.difference import THUMBNAIL_PX, DifferenceFilter, Thumbnails
from thresholds.metrics.agreement import photo_agreement

WIDTH, HEIGHT = 640, 480
NOISE = 4.0
"""The standard deviation of a sensor's noise, in grey levels."""
THRESHOLD = 0.02
CLIP_FRAMES, PLAN_CLIPS = 20, 320
MIN_SCORE = 0.3
REDUCED = Image.Resampling.BOX
DETECTED = 40
"""Frames that the detector is timed on in a round: it takes its time."""


def film(path: Path, scenes: int, still: int) -> None:
    """Writes a video of so many photos, each for so many frames."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, NOISE, (8, HEIGHT, WIDTH, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"qscale": "3"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for data in photos(scenes):
            with Image.open(BytesIO(data)) as image:
                scene = np.asarray(image.convert("RGB").resize((WIDTH, HEIGHT)), float)
            for number in range(still):
                pixels = np.clip(scene + noise[number % len(noise)], 0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())


def thumbnails_of(frames: Sequence[VideoFrame]) -> Thumbnails:
    """The thumbnails (n, h, w) of frames."""
    return np.array([frame.thumbnail.thumbnail for frame in frames], np.uint8)


def rate(work: Callable[[], object], frames: int) -> float:
    """Frames a second of processor time."""
    began = time.process_time()
    work()
    return frames / (time.process_time() - began)


def detect(detector: Any, images: Sequence[Image.Image]) -> None:
    for image in images:
        detector(image)


def clip_of(data: bytes, rng: np.random.Generator) -> list[Image.Image]:
    """The frames of a view that slides over a photo, with noise."""
    with Image.open(BytesIO(data)) as opened:
        image = opened.convert("RGB")
    width, height = int(0.7 * image.width), image.height
    step = min(rng.exponential(0.004), 0.02) * image.width
    frames = []
    for number in range(CLIP_FRAMES):
        x = min(number * step, image.width - width)
        view = image.transform(
            (width, height), Image.Transform.AFFINE, (1, 0, x, 0, 1, 0), Image.Resampling.BILINEAR
        )
        noise = rng.normal(0, NOISE, (height, width, 1))
        frames.append(Image.fromarray(np.clip(np.asarray(view) + noise, 0, 255).astype(np.uint8)))
    return frames


def small(frame: Image.Image) -> Thumbnails:
    return np.asarray(frame.convert("L").resize((THUMBNAIL_PX, THUMBNAIL_PX), REDUCED), np.uint8)


def plan(detector: Any, max_loss: float) -> None:
    """Prints the plan of one half of the clips, and what it does on the other."""
    rng = np.random.default_rng(0)
    clips = list[list[AnsweredFrame]]()
    for data in photos(PLAN_CLIPS):
        clips.append([AnsweredFrame(small(each), detector(each)) for each in clip_of(data, rng)])
    half = PLAN_CLIPS // 2
    made = plan_threshold(clips[:half], max_loss, min_score=MIN_SCORE)
    if made is None:
        print(f"no threshold is certified to lose at most {max_loss} on {half} clips")
        return
    losses, saved = list[float](), 0
    for clip in clips[half:]:
        thumbnails = np.array([each.thumbnail for each in clip])
        sources = DifferenceFilter(made.threshold).sources(thumbnails).tolist()
        for frame, source in zip(clip, sources, strict=True):
            reused = clip[source].detections
            losses.append(1 - photo_agreement(frame.detections, reused, MIN_SCORE))
        saved += sum(source != number for number, source in enumerate(sources))
    print(
        f"planned on {half} clips of {CLIP_FRAMES} frames to lose at most {max_loss}: threshold "
        f"{made.threshold}, {made.saved:.1%} of the frames saved, loss {made.loss:.4f}, certified "
        f"{made.bound:.4f}; on {PLAN_CLIPS - half} others {saved / len(losses):.1%} saved, loss "
        f"{np.mean(losses):.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--still", type=int, default=25, help="frames of a scene")
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--max-loss", type=float, default=0.05)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    loaded = load_model(
        onnx.Options(
            kind="onnx",
            model=MODELS / "yolox_nano.onnx",
            labels=MODELS / "coco80.txt",
            input_size=f"{options.size}x{options.size}",
        ),
        Path(),
    )
    detector = OnnxDetector(loaded.network, loaded.reader)
    if options.plan:
        plan(detector, options.max_loss)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        film(path, options.scenes, options.still)
        frames = list(video_frames(path, VideoLimits()))
        thumbnails = thumbnails_of(frames)
        sources = DifferenceFilter(THRESHOLD).sources(thumbnails)
        images = [frame.picture.to_image() for frame in frames[:: len(frames) // DETECTED]]
        works: dict[str, tuple[Callable[[], object], int]] = {
            "filter": (lambda: DifferenceFilter(THRESHOLD).sources(thumbnails), len(frames)),
            "thumbnails and filter": (
                lambda: DifferenceFilter(THRESHOLD).sources(thumbnails_of(frames)),
                len(frames),
            ),
            "detector": (lambda: detect(detector, images), len(images)),
            "decoding": (lambda: sum(1 for _ in video_frames(path, VideoLimits())), len(frames)),
        }
        rounds = [
            {name: rate(*work) for name, work in works.items()} for _ in range(options.rounds)
        ]
    table = Table(
        title=f"{len(frames):,} frames of {WIDTH}x{HEIGHT}, one core; "
        f"{len(np.unique(sources))} need an answer of their own; YOLOX-nano at {options.size} px"
    )
    for column in ("", "frames/s", "times the detector"):
        table.add_column(column, justify="right" if column else "left")
    for name in works:
        rates = [each[name] for each in rounds]
        ratio = statistics.median(each[name] / each["detector"] for each in rounds)
        table.add_row(name, f"{statistics.median(rates):,.0f}", f"{ratio:,.1f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
