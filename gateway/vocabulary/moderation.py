"""Rekognition's moderation labels as Google's safe search, and the reverse.

Labels are those of moderation model 7, and the two of model 6 that were renamed:
https://docs.aws.amazon.com/rekognition/latest/dg/moderation.html
Only the first level is translated: Rekognition lists the parent with each finer label.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.vocabulary.likelihoods import UNKNOWN, likelihood, score
from providers.detection import WHOLE, Detection

NUDITY = "Non-Explicit Nudity of Intimate parts and Kissing"
MODEL_VERSION = "7.0"
CATEGORIES = ("adult", "spoof", "medical", "violence", "racy")

CATEGORY_OF_LABEL = {
    "Explicit": "adult",
    "Explicit Nudity": "adult",
    NUDITY: "racy",
    "Suggestive": "racy",
    "Swimwear or Underwear": "racy",
    "Violence": "violence",
    "Visually Disturbing": "violence",
}
"""Drugs, alcohol, gambling, rude gestures and hate symbols belong to none of Google's five."""
LABEL_OF_CATEGORY = {"adult": "Explicit", "racy": NUDITY, "violence": "Violence"}
"""Rekognition has no label for spoof and medical. They are left out, because any label of
Rekognition's is a finding."""


def to_google(labels: Sequence[Detection]) -> list[Detection]:
    """All five categories, each with the likelihood of its highest label; UNKNOWN for those that
    Rekognition has no label for."""
    best_scores = dict.fromkeys(LABEL_OF_CATEGORY, 0.0)
    for label in labels:
        parent = str(label.details.get("parent", ""))
        category = CATEGORY_OF_LABEL.get(label.label) or CATEGORY_OF_LABEL.get(parent)
        if category:
            best_scores[category] = max(best_scores[category], label.score)
    return [_category_of(name, best_scores.get(name)) for name in CATEGORIES]


def _category_of(name: str, best_score: float | None) -> Detection:
    grade = likelihood(best_score)
    details = {"likelihood": grade, "graded": grade != UNKNOWN}
    return Detection(name, score(grade), WHOLE, details=details)


def to_rekognition(categories: Sequence[Detection]) -> list[Detection]:
    """A label of the first level for each category above VERY_UNLIKELY, so none for a clean
    photo."""
    details = {"parent": "", "level": 1, "version": MODEL_VERSION}
    return [
        Detection(LABEL_OF_CATEGORY[category.label], category.score, WHOLE, details=details)
        for category in categories
        if category.label in LABEL_OF_CATEGORY and category.score > 0
    ]
