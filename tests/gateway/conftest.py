"""What tests of several rooms build jobs with."""

import pytest

from tests.support.jobs import JobBuilder


@pytest.fixture(scope="session")
def make() -> JobBuilder:
    return JobBuilder()
