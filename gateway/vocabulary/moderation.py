"""Rekognition's moderation labels as Google's safe search, and the other way.

Labels are those of moderation model 7, and the two of model 6 that were renamed:
https://docs.aws.amazon.com/rekognition/latest/dg/moderation.html Only its first level is
translated: Rekognition names with each finer label its parent, and every label's ancestors.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.vocabulary.likelihoods import UNKNOWN, likelihood, score
from providers.detection import WHOLE, Detection

NUDITY = "Non-Explicit Nudity of Intimate parts and Kissing"
MODEL = "7.0"
CATEGORIES = ("adult", "spoof", "medical", "violence", "racy")

AS_CATEGORY = {
    "Explicit": "adult",
    "Explicit Nudity": "adult",
    NUDITY: "racy",
    "Suggestive": "racy",
    "Swimwear or Underwear": "racy",
    "Violence": "violence",
    "Visually Disturbing": "violence",
}
"""Drugs, alcohol, gambling, rude gestures and hate symbols are none of Google's five."""
AS_LABEL = {"adult": "Explicit", "racy": NUDITY, "violence": "Violence"}
"""Rekognition looks for neither spoof nor medical, and any label of it is a finding: they are not
told."""


def to_google(found: Sequence[Detection]) -> list[Detection]:
    """Always all five: the surest label's likelihood; UNKNOWN for what Rekognition does not look
    for."""
    surest = dict.fromkeys(AS_LABEL, 0.0)
    for label in found:
        category = AS_CATEGORY.get(label.label) or AS_CATEGORY.get(
            str(label.details.get("parent", ""))
        )
        if category:
            surest[category] = max(surest[category], label.score)
    return [_category(name, surest.get(name)) for name in CATEGORIES]


def _category(name: str, seen: float | None) -> Detection:
    grade = likelihood(seen)
    return Detection(
        name, score(grade), WHOLE, details={"likelihood": grade, "graded": grade != UNKNOWN}
    )


def to_rekognition(found: Sequence[Detection]) -> list[Detection]:
    """A label of the first level for each category that is not very unlikely, as all five are of a
    clean photo."""
    return [
        Detection(
            AS_LABEL[each.label],
            each.score,
            WHOLE,
            details={"parent": "", "level": 1, "version": MODEL},
        )
        for each in found
        if each.label in AS_LABEL and each.score > 0
    ]
