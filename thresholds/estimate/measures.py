"""What photos' answers say about queries: values in [0, 1]."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from providers.detection import Detection
from thresholds.estimate.queries import Query
from thresholds.fusion.arrays import Floats
from thresholds.samples.ground_truth import Known


class Measures:
    """Values of answers for some queries. Holds which queries are about each label.

    Detections of less than `min_score` do not count. Labels are compared ignoring case.
    """

    def __init__(self, queries: Sequence[Query], min_score: float) -> None:
        self._min_score = min_score
        self._count = len(queries)
        self._by_label: defaultdict[str, list[tuple[int, Query]]] = defaultdict(list)
        for column, query in enumerate(queries):
            if query.kind != "accuracy":
                self._by_label[query.label.casefold()].append((column, query))
        self._accuracies = [i for i, query in enumerate(queries) if query.kind == "accuracy"]

    def values(self, detections: Sequence[Detection], truth: Known | None = None) -> Floats:
        """The values (k,): 1 for a photo that has the label, else the number of its objects as a
        share of the cap; of accuracy 1 for an answer that is right by `truth`."""
        values = np.zeros(self._count)
        for detection in detections:
            if detection.score >= self._min_score:
                for column, query in self._by_label.get(detection.label.casefold(), ()):
                    values[column] += 1 / query.cap if query.counts_objects else 1
        return self._finished(values, detections, truth)

    def controls(self, detections: Sequence[Detection], truth: Known | None = None) -> Floats:
        """What a cheap model's answer says of those values (k,), which varies with them as far as
        it can: the highest score of the label; the sum of its objects' scores, however low, as a
        share of the cap; whether the answer is right."""
        values = np.zeros(self._count)
        for detection in detections:
            for column, query in self._by_label.get(detection.label.casefold(), ()):
                if query.counts_objects:
                    values[column] += detection.score / query.cap
                else:
                    values[column] = max(values[column], detection.score)
        return self._finished(values, detections, truth)

    def _finished(
        self, values: Floats, detections: Sequence[Detection], truth: Known | None
    ) -> Floats:
        if self._accuracies and truth is not None:
            values[self._accuracies] = self._is_right(detections, truth)
        return np.minimum(values, 1)

    def _is_right(self, detections: Sequence[Detection], truth: Known) -> bool:
        """Whether the label with the highest score is one of the truth's; without one in the truth,
        whether none counts. Labels of which the truth does not speak do not count."""
        objects = {each.label.casefold() for each in truth.objects}
        labels = {label.casefold() for label in truth.labels}
        answer = [
            (each.score, each.label.casefold())
            for each in detections
            if each.score >= self._min_score and each.label.casefold() in labels
        ]
        return max(answer)[1] in objects if answer else not objects
