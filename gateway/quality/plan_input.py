"""The input of plans: profiles from their folders, and the metric by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.config.errors import ConfigError
from thresholds.metrics.quality import METRICS, Metric
from thresholds.profile.profile import FILE as PROFILE
from thresholds.profile.profile import Profile
from thresholds.samples.sample import Sample

LEAST_PHOTOS = 40
"""From fewer nothing can be learned, and nothing promised."""


def metric_of(name: str | None) -> Metric | None:
    """The metric of that name. Raises ConfigError where there is none."""
    for metric in METRICS:
        if metric == name:
            return metric
    if name is not None:
        raise ConfigError(f"--metric {name}: there are {', '.join(METRICS)}")
    return None


def read(folders: Sequence[Path], *, companion: bool) -> tuple[Sample, float]:
    """The sample of the profiles in the folders, joined, and the floor of the first profile.

    Raises ConfigError where a profile cannot be read or has too few photos.
    """
    try:
        sample = Sample.load_all(folders)
        profile = Profile.load(folders[0] / PROFILE)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not companion and sample.companions:
        sample = sample.without_companions()
    if len(sample.complete) < LEAST_PHOTOS:
        raise ConfigError(
            f"{folders[0]}: {len(sample.complete)} photos have an answer at every shape; a plan "
            f"needs {LEAST_PHOTOS} at least, and some hundreds to promise anything"
        )
    return sample.of_photos(sample.complete), profile.floor
