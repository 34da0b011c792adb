"""The alerts and the dashboard in deploy/ ask for what a gateway exposes, in queries that
Prometheus can read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from gateway.observe.metrics import Metrics
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "imgrid.rules.yaml"
DASHBOARD = DEPLOY / "grafana" / "imgrid.json"
FUNCTION_LABELS = {"le", "instance"}
"""Labels that Prometheus adds, or histograms."""


def promtool() -> str:
    """Prometheus' own checker. Skips where there is none."""
    beside = Path(sys.executable).with_name("promtool")
    program = str(beside) if beside.exists() else shutil.which("promtool")
    if not program:
        pytest.skip("promtool is not installed: see `make promtool`")
    return program


def alerts() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that show something."""
    return [each for each in json.loads(DASHBOARD.read_text())["panels"] if each["type"] != "row"]


def queries() -> dict[str, str]:
    """All queries, by the alert's name, or the panel's title and number."""
    by_name = {rule["alert"]: str(rule["expr"]) for rule in alerts()}
    for panel in panels():
        for target in panel["targets"]:
            by_name[f"{panel['title']} {target['refId']}"] = target["expr"]
    return by_name


def sample_names() -> Mapping[str, set[str]]:
    """The labels of each sample's name that a scrape has."""
    names: dict[str, set[str]] = {}
    for metric in Metrics().registry._collector_to_names:
        labels = set(metric._labelnames)  # type: ignore[attr-defined]
        for suffix in ("", "_total", "_bucket", "_sum", "_count"):
            names[metric._name + suffix] = labels  # type: ignore[attr-defined]
    return names


def exposed(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


@pytest.mark.parametrize(("name", "query"), queries().items(), ids=lambda text: text[:40])
def test_a_query_asks_for_metrics_that_there_are(name: str, query: str) -> None:
    """Every metric and every label that a query names is one that a gateway exposes."""
    known = sample_names()
    metrics = re.findall(r"\bimgrid_\w+", query)
    assert metrics, name
    labels: set[str] = set()
    for metric in metrics:
        assert metric in known, f"{name}: {metric}"
        labels |= known[metric]
    grouped = re.findall(r"by \(([^)]*)\)", query)
    asked = {label.strip() for part in grouped for label in part.split(",")}
    asked |= set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!=|=)", query))
    assert asked <= labels | FUNCTION_LABELS, name


def test_counters_are_asked_for_as_rates() -> None:
    """A counter's own value says nothing: queries take its rate or its increase."""
    for name, query in queries().items():
        for metric in re.finditer(
            r"\bimgrid_\w+_(?:total|bucket|count)\b(?:\{[^}]*\})?(.)?", query
        ):
            assert metric[1] == "[", f"{name}: {metric[0]}"


def test_prometheus_reads_every_query(tmp_path: Path) -> None:
    """Alerts as they are; the dashboard's queries as recording rules, with Grafana's variables
    filled in."""
    rules: list[dict[str, str]] = []
    for number, (_, query) in enumerate(queries().items()):
        text = query.replace("$__rate_interval", "5m").replace("$__range", "1d")
        rules.append({"record": f"query:{number}", "expr": text.replace("$tenant", ".*")})
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    for checked in (file, RULES):
        result = subprocess.run(
            [promtool(), "check", "rules", checked], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr


def test_alerts_are_raised_on_made_up_series() -> None:
    """promtool's own tests: what raises each, and what a healthy gateway raises."""
    tests = RULES.with_name("imgrid.rules.test.yaml")
    command = [promtool(), "test", "rules", tests.name]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tests.parent)
    assert result.returncode == 0, result.stderr + result.stdout


def test_prometheus_finds_no_fault_with_the_metrics() -> None:
    """`promtool check metrics` is clean, with every instrument in use."""
    metrics = Metrics()
    for instrument in metrics.registry._collector_to_names:
        labels = instrument._labelnames  # type: ignore[attr-defined]
        used: Any = instrument.labels(*labels) if labels else instrument  # type: ignore[attr-defined]
        getattr(used, "observe" if hasattr(used, "observe") else "inc")(1)
    result = subprocess.run(
        [promtool(), "check", "metrics"],
        input=exposed(metrics.registry),
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_no_sample_says_when_it_was_created() -> None:
    """`_created` samples would double the counters' series for nothing."""
    metrics = Metrics()
    metrics.instruments.clients_left.inc()
    text = exposed(metrics.registry)
    assert "imgrid_clients_left_total 1.0" in text
    assert "_created" not in text


def test_every_alert_says_what_to_do() -> None:
    """An alert has a severity, a sentence for the page, and one about what to do."""
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]


def test_every_panel_explains_itself_and_has_its_place() -> None:
    """A panel has a title and a description, and none lies over another."""
    places: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        grid = panel["gridPos"]
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert (x, y) not in places, panel["title"]
                places.add((x, y))
    assert max(x for x, _ in places) < 24
