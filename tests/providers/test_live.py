"""The clouds themselves, asked about one drawn picture for each task: some thirty images on the
bill of the person that runs these tests.

They do not run by accident: they need variables of their own, and skip the clouds whose variables
are not set.

- `LIVE_AWS_REGION`: Rekognition in that region, with credentials as boto3 finds them
- `LIVE_GOOGLE_KEY`: Cloud Vision with that API key; `default` for the application's default
  credentials
- `LIVE_AZURE_ENDPOINT` and `LIVE_AZURE_KEY`: Image Analysis in a region that has captions
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from providers.base import ForwardCall, Picture, Provider, feature_name
from providers.detection import Detection, Task

pytestmark = pytest.mark.live

EXTRAS = {
    "rekognition": ("IMAGE_PROPERTIES?MaxDominantColors=3",),
    "google": (
        "LANDMARK_DETECTION",
        "IMAGE_PROPERTIES",
        "CROP_HINTS?max_results=1",
        "WEB_DETECTION?max_results=1",
    ),
    "azure": ("caption?language=en", "denseCaptions", "smartCrops?smartcrops-aspect-ratios=1.5"),
}
UNBILLED = {
    "rekognition": ForwardCall("ListCollections", b"{}"),
    "google": ForwardCall("/v1/images:annotate", b'{"requests": []}'),
    "azure": ForwardCall(
        "imageanalysis:analyze", b"{}", query=(("api-version", "2023-10-01"), ("features", "tags"))
    ),
}


def settings_of(kind: str) -> dict[str, str] | None:
    """A provider's settings; None where the cloud's variables are not set."""
    variable = os.environ.get
    match kind:
        case "rekognition":
            return variable("LIVE_AWS_REGION") and {"region": variable("LIVE_AWS_REGION")}
        case "google":
            key = variable("LIVE_GOOGLE_KEY")
            return key and ({} if key == "default" else {"api_key": key})
        case _:
            settings = {
                "endpoint": variable("LIVE_AZURE_ENDPOINT"),
                "key": variable("LIVE_AZURE_KEY"),
            }
            return settings if all(settings.values()) else None


@pytest.fixture(params=["rekognition", "google", "azure"])
def provider(
    request: pytest.FixtureRequest, make: Callable[..., Provider], tmp_path: Path
) -> Iterator[Provider]:
    """A provider of each cloud whose variables are set."""
    settings = settings_of(request.param)
    if settings is None:
        pytest.skip(f"asks {request.param} itself; the docstring of this file says how to let it")
    cloud_provider = make(request.param, tmp_path, **settings)
    yield cloud_provider
    asyncio.run(cloud_provider.close())


def test_a_cloud_answers_every_task_in_the_common_form(
    provider: Provider, paper: Callable[..., Image.Image], picture: Callable[..., Picture]
) -> None:
    """A cloud answers every task in the common form, and reads the text on the picture."""
    page = picture(paper((640, 480), ("OPEN LATE", 200, 200)), "bytes")
    extras = EXTRAS[provider.about.kind]

    async def ask() -> dict[Task, list[Detection]]:
        tasks = sorted(provider.about.tasks)
        answers = [
            await provider.detect(page, task, extras if task == Task.EXTRAS else ())
            for task in tasks
        ]
        return dict(zip(tasks, answers, strict=True))

    answers = asyncio.run(ask())
    assert "open late" in {each.label.lower() for each in answers[Task.TEXT] if each.kind == "LINE"}
    assert [each.label for each in answers[Task.EXTRAS]] == list(map(feature_name, extras))
    assert all(0 <= each.score <= 1 for detections in answers.values() for each in detections)


def test_a_cloud_answers_a_forwarded_call(provider: Any) -> None:
    """A call that costs nothing is forwarded, and the cloud itself answers and knows the caller."""
    answer = asyncio.run(provider.forward(UNBILLED[provider.about.kind]))
    assert answer.status in (200, 400)
    assert answer.body.startswith(b"{")
