"""Which way each thing goes that is asked of a photo."""

from __future__ import annotations

import pytest

from gateway.dialects.base import Ask
from gateway.errors import NotServed
from gateway.keys import ANYBODY
from gateway.testing import ScriptedProvider, about, parts_of
from providers.base import Task
from thresholds.variants import EXACT, TARGET

CLEAN = {"stages": [{"shape": "2x2", "rule": {"kind": "clean", "threshold": 0.1}}, {"shape": "1x1"}]}
GRID = {"stages": [{"shape": "2x2"}]}


@pytest.fixture
def service(tmp_path):
    """`service(routes, vocabulary)`: the service of a gateway with these routes, of one provider that speaks so."""

    def build(*routes, vocabulary=""):
        fakes, content, kinds = {}, [], {}
        for index, (task, more) in enumerate(routes):
            name, more = f"p{index}", dict(more)
            kind = more.pop("kind", "shapes")
            kinds[name] = {"kind": kind}
            fakes[name] = ScriptedProvider(
                introduced=about(name, task=Task(task), kind=kind, vocabulary=vocabulary, canvas_px=(640, 640))
            )
            content.append({"task": task, "provider": name, "name": f"{task}-{index}", **more})
        return parts_of(tmp_path, {"providers": kinds, "routes": content}, fakes).service

    return build


def way(service, ask, quality="target", dialect="rekognition"):
    found = service.way(ask, ANYBODY, quality, dialect)
    return found.route.name, found.variant


class TestGroups:
    @pytest.mark.parametrize(("least", "variant"), [(None, TARGET), (0.5, TARGET), (0.9, TARGET), (0.3, EXACT)])
    def test_below(self, service, least, variant):
        """Who asks for less than groups are promised to show is asked for alone."""
        asked = Ask(Task.MODERATION, least_score=least)
        assert way(service(("moderation", CLEAN)), asked) == ("moderation-0", variant)

    def test_graded(self, service):
        """Likelihoods are told of every grade: alone, unless the provider grades and its lowest clears a canvas."""
        asked = Ask(Task.MODERATION, least_score=0.0)
        assert way(service(("moderation", CLEAN)), asked, dialect="google")[1] == EXACT
        assert way(service(("moderation", CLEAN), vocabulary="google"), asked, dialect="google")[1] == TARGET

    def test_no_groups(self, service):
        """Where each photo has its own answer anyway, it matters to nobody how little a client asks for."""
        alone = {"stages": [{"shape": "1x1"}]}
        assert way(service(("moderation", alone)), Ask(Task.MODERATION, least_score=0.1))[1] == TARGET


class TestLabels:
    def test_without_a_route(self, service):
        """Labels that no route is for are those of the objects."""
        assert way(service(("objects", GRID)), Ask(Task.LABELS))[0] == "objects-0"

    def test_alone(self, service):
        """A route for labels serves them."""
        both = service(("objects", GRID), ("labels", {"stages": [{"shape": "1x1"}]}))
        assert way(both, Ask(Task.LABELS))[0] == "labels-1"

    def test_boxes(self, service):
        """One that takes those of boxes sends them to the objects, but for clients that want them exactly."""
        both = service(("objects", GRID), ("labels", {"labels": "boxes"}))
        assert way(both, Ask(Task.LABELS))[0] == "objects-0"
        assert way(both, Ask(Task.LABELS), quality="exact") == ("labels-1", EXACT)
        assert way(both, Ask(Task.LABELS, alone=True)) == ("labels-1", EXACT)

    def test_neither(self, service):
        """Where there are neither labels nor objects they are refused by name."""
        with pytest.raises(NotServed, match="labels"):
            way(service(("moderation", CLEAN)), Ask(Task.LABELS))

    def test_words(self, service):
        """The labels that a client names are asked about in the provider's words."""
        labels = {"labels": "listed", **CLEAN}
        found = service(("labels", labels), vocabulary="coco").way(
            Ask(Task.LABELS, ("Couch",)), ANYBODY, "target", "rekognition"
        )
        assert "couch" in found.wanted


def test_extras(service):
    """What a vendor alone can say is asked of that vendor, whichever is named first."""
    two = service(("extras", {"kind": "azure"}), ("extras", {"kind": "rekognition"}))
    assert way(two, Ask(Task.EXTRAS, ("IMAGE_PROPERTIES",)))[0] == "extras-1"
    assert way(two, Ask(Task.EXTRAS, ("caption",)), dialect="azure")[0] == "extras-0"
    with pytest.raises(NotServed, match=r"extras \(CROP_HINTS\)"):
        way(two, Ask(Task.EXTRAS, ("CROP_HINTS",)), dialect="google")
