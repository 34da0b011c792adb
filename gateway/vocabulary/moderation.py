"""Rekognition's moderation labels as Google's safe search, and the reverse; both as Azure's scores.

Labels are those of moderation model 7, and the two of model 6 that were renamed:
https://docs.aws.amazon.com/rekognition/latest/dg/moderation.html
Between Rekognition and Google only the first level is translated: Rekognition lists the parent with
each finer label. Azure has no translation back, for it has no moderation that the gateway asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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

AZURE_CATEGORIES = ("adult", "racy", "gore")
AZURE_CATEGORY_OF_LABEL = {
    **{label: name for label, name in CATEGORY_OF_LABEL.items() if name != "violence"},
    "Graphic Violence": "gore",
    "Graphic Violence Or Gore": "gore",
    "Visually Disturbing": "gore",
}
"""Rekognition's other violence, such as weapons, is not what Azure calls gory: extreme violence or
blood."""
AZURE_CATEGORY_OF_CATEGORY = {"adult": "adult", "racy": "racy", "violence": "gore"}
"""Google's violence is death, serious harm or injury."""


def to_google(labels: Sequence[Detection]) -> list[Detection]:
    """All five categories, each with the likelihood of its highest label; UNKNOWN for those that
    Rekognition has no label for."""
    best_scores = _best_scores(labels, CATEGORY_OF_LABEL)
    return [_category_of(name, best_scores.get(name)) for name in CATEGORIES]


def _best_scores(
    labels: Sequence[Detection], category_of_label: Mapping[str, str]
) -> dict[str, float]:
    """The highest score of each category's labels, or of those below them; 0 without any."""
    best_scores = dict.fromkeys(category_of_label.values(), 0.0)
    for label in labels:
        parent = str(label.details.get("parent", ""))
        category = category_of_label.get(label.label) or category_of_label.get(parent)
        if category:
            best_scores[category] = max(best_scores[category], label.score)
    return best_scores


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


def rekognition_to_azure(labels: Sequence[Detection]) -> list[Detection]:
    """All three categories, each with the score of its highest label."""
    return _azure_categories(_best_scores(labels, AZURE_CATEGORY_OF_LABEL))


def google_to_azure(categories: Sequence[Detection]) -> list[Detection]:
    """All three categories, each with the score of its likelihood."""
    return _azure_categories(_best_scores(categories, AZURE_CATEGORY_OF_CATEGORY))


def _azure_categories(scores: Mapping[str, float]) -> list[Detection]:
    return [Detection(name, scores[name], WHOLE) for name in AZURE_CATEGORIES]
