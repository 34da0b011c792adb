"""The clouds themselves, asked about one drawn picture for each task: some thirty images on the
bill of who runs it.

Nobody runs it by accident: it goes by variables of its own, and skips the clouds for which they are
not set.

- `LIVE_AWS_REGION`: Rekognition in that region, with credentials as boto3 finds them
- `LIVE_GOOGLE_KEY`: Cloud Vision with that API key; `default` for the application's default
  credentials
- `LIVE_AZURE_ENDPOINT` and `LIVE_AZURE_KEY`: Image Analysis in a region that has captions
"""

import asyncio
import os

import pytest

from providers.base import ForwardCall, feature_name
from providers.detection import Task

pytestmark = pytest.mark.live

WANTED = {
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


def settings_of(kind):
    """How the provider is made; None where the cloud's variables are not set."""
    given = os.environ.get
    match kind:
        case "rekognition":
            return given("LIVE_AWS_REGION") and {"region": given("LIVE_AWS_REGION")}
        case "google":
            key = given("LIVE_GOOGLE_KEY")
            return key and ({} if key == "default" else {"api_key": key})
        case _:
            both = {"endpoint": given("LIVE_AZURE_ENDPOINT"), "key": given("LIVE_AZURE_KEY")}
            return both if all(both.values()) else None


@pytest.fixture(params=["rekognition", "google", "azure"])
def provider(request, make, tmp_path):
    settings = settings_of(request.param)
    if settings is None:
        pytest.skip(f"asks {request.param} itself; the docstring of this file says how to let it")
    made = make(request.param, tmp_path, **settings)
    yield made
    asyncio.run(made.close())


def test_tasks(provider, paper, picture):
    """Every task is answered, in the common form; what is written on the picture is read."""
    shown = picture(paper((640, 480), ("OPEN LATE", 200, 200)), "bytes")
    wanted = WANTED[provider.about.kind]

    async def ask():
        tasks = sorted(provider.about.tasks)
        answers = [
            await provider.detect(shown, task, wanted if task == Task.EXTRAS else ())
            for task in tasks
        ]
        return dict(zip(tasks, answers, strict=True))

    answers = asyncio.run(ask())
    assert "open late" in {each.label.lower() for each in answers[Task.TEXT] if each.kind == "LINE"}
    assert [each.label for each in answers[Task.EXTRAS]] == list(map(feature_name, wanted))
    assert all(0 <= each.score <= 1 for found in answers.values() for each in found)


def test_forward(provider):
    """A call that costs nothing is handed on, and the cloud itself answers: it knows who asks."""
    answer = asyncio.run(provider.forward(UNBILLED[provider.about.kind]))
    assert answer.status in (200, 400)
    assert answer.body.startswith(b"{")
