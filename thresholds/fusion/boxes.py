"""Boxes and numbers: overlap, matching, fusion. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from providers.detection import Box, Detection


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0 where either box is empty."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    union = a.area + b.area - inter
    return inter / union if union > 0 else 0.0


def match(
    truth: Sequence[Detection], found: Sequence[Detection], *, least_iou: float = 0.5
) -> list[int | None]:
    """For each true object the index of the detection that found it, best score first, each used
    once.

    Labels must be equal, ignoring case; the greedy matching of COCO's evaluation.
    """
    matched: list[int | None] = [None] * len(truth)
    for index in sorted(range(len(found)), key=lambda i: -found[i].score):
        rivals = [
            (iou(truth[t].box, found[index].box), t)
            for t in range(len(truth))
            if matched[t] is None and truth[t].label.lower() == found[index].label.lower()
        ]
        overlap, best = max(rivals, default=(0.0, -1))
        if best >= 0 and overlap >= least_iou:
            matched[best] = index
    return matched


@dataclass
class _Cluster:
    """Boxes of one label that are taken for one object; `weights` are the scores times their
    answers' weights."""

    box: Box
    members: list[Detection] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, detection: Detection, weight: float) -> None:
        self.members.append(detection)
        self.weights.append(weight)
        total = sum(self.weights) or 1.0
        self.box = Box(
            *(
                sum(w * m.box[side] for w, m in zip(self.weights, self.members, strict=True))
                / total
                for side in range(4)
            )
        )


def fuse(
    answers: Sequence[Sequence[Detection]], weights: Sequence[float], *, least_iou: float = 0.6
) -> list[Detection]:
    """Weighted box fusion of several answers about one photo.

    Solovyev, Wang, Gabruseva, "Weighted boxes fusion" (2021), section 3: boxes of one label and
    kind are clustered around the running score-weighted mean box; a cluster's score is the mean of
    its weighted scores, times min(members, total weight) / total weight, so that what one answer
    alone saw counts for less.
    """
    clusters: dict[tuple[str, str], list[_Cluster]] = {}
    ranked = sorted(
        ((d, d.score * w) for found, w in zip(answers, weights, strict=True) for d in found),
        key=lambda pair: -pair[1],
    )
    for detection, weight in ranked:
        rivals = clusters.setdefault((detection.label, detection.kind), [])
        overlap, best = max(
            ((iou(cluster.box, detection.box), index) for index, cluster in enumerate(rivals)),
            default=(0.0, -1),
        )
        if overlap <= least_iou:
            rivals.append(_Cluster(detection.box))
            best = len(rivals) - 1
        rivals[best].add(detection, weight)
    fused = [_settled(c, sum(weights)) for rivals in clusters.values() for c in rivals]
    return sorted(fused, key=lambda detection: -detection.score)


def _settled(cluster: _Cluster, total: float) -> Detection:
    members = len(cluster.members)
    score = sum(cluster.weights) / members * min(members, total) / total
    return replace(cluster.members[0], box=cluster.box, score=min(score, 1.0))
