"""What is learned from two samples, by precision and by agreement."""

from __future__ import annotations

import pytest

from tests.support.studies import study_of
from thresholds.plan.study import Study
from thresholds.profile.profile import Profile, profile_of_sample
from thresholds.testing import COMPANION, KINDS, synthetic_sample


@pytest.fixture(scope="session")
def study() -> Study:
    """A study of 160 photos, 60 of them held out, with a companion and ground truth."""
    sample = synthetic_sample(160, kinds=(*KINDS, COMPANION), companions=("free",))
    return study_of(sample, held_out=60)


@pytest.fixture(scope="session")
def agreement_study() -> Study:
    """A study by agreement, without a companion; 50 of 120 photos are held out."""
    return study_of(synthetic_sample(120), "agreement", held_out=50)


@pytest.fixture(scope="session")
def profile(study: Study) -> Profile:
    """The profile of the study's sample."""
    return profile_of_sample(study.sample)
