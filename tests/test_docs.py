"""Everything that the documentation names exists, and everything that exists is documented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prometheus_client import generate_latest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.cli.main import app
from gateway.config import routes, sections, settings, tenants
from gateway.config.routes import (
    CacheSettings,
    FallbackSettings,
    LearnSettings,
    RouteSettings,
    WatchSettings,
)
from gateway.config.tenants import (
    BudgetSettings,
    OperatorKey,
    PlainKey,
    RekognitionKey,
    TenantLimitSettings,
    TenantSettings,
    TenantWebhookSettings,
)
from gateway.core import errors
from gateway.observe.metrics import Metrics
from providers import registry
from providers.call_limits import BreakerOptions
from providers.options import Options
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.glob("*.md")),
]

KEYS = (RekognitionKey, PlainKey)
WITHIN_A_ROW = {
    "keys": KEYS,
    "limits": (TenantLimitSettings,),
    "webhook": (TenantWebhookSettings,),
    "budgets": (BudgetSettings,),
    "operator_keys": (OperatorKey,),
}
"""Sections that have no table, but a row."""
TABLES = {
    "Top level": {"": settings.Settings},
    "`providers.NAME`": {"": Options},
    "`providers.NAME.breaker`": {"": BreakerOptions},
    "`routes[]`": {"": RouteSettings},
    "`routes[].cache`": {"": CacheSettings},
    "`routes[].fallback`": {"": FallbackSettings},
    "`routes[].learn`": {"": LearnSettings},
    "`routes[].watch`": {"": WatchSettings},
    "`tenants[]`": {"": TenantSettings},
    "`buffer` and `limits`": {
        "buffer.": sections.BufferSettings,
        "limits.": sections.LimitSettings,
    },
    "`decoder`": {"decoder.": sections.DecoderSettings},
    "`engine`": {"engine.": sections.EngineSettings},
    "`jobs`, `webhooks` and `fetch`": {
        "jobs.": sections.JobSettings,
        "webhooks.": sections.WebhookSettings,
        "fetch.": sections.FetchSettings,
    },
    "`fetch.s3` and `fetch.gs`": {
        "fetch.s3.": sections.S3Settings,
        "fetch.gs.": sections.GsSettings,
    },
    "`tls`": {"": sections.TlsSettings},
    "`grpc`": {"": sections.GrpcSettings},
    "`tracing`": {"": sections.TracingSettings},
    **{f"`{kind}`": {"": registry.load(kind).Options} for kind in registry.kinds()},
}
"""By the heading of a table in docs/configuration.md (for a kind of provider, the word its text
begins with), the models whose keys it has, by the prefix of their names."""

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def tables() -> dict[str, dict[str, str]]:
    """The tables of docs/configuration.md, by heading: the default of each key, as it is
    written."""
    rows: dict[str, dict[str, str]] = {}
    heading = ""
    for line in (DOCS / "configuration.md").read_text().splitlines():
        if title := re.match(r"## (.*)|(`\w+`)(?: \(.*|:.*)$", line):
            heading = title[1] or title[2]
        elif line.startswith("| `"):
            names, default = line.split("|")[1:3]
            rows.setdefault(heading, {}).update(
                dict.fromkeys(re.findall(r"`([\w.]+)`", names), default.strip())
            )
    return rows


def fields_of(heading: str) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a table, by their names in it; a kind's table has its own fields only."""
    for prefix, model in TABLES[heading].items():
        common = Options.model_fields if model is not Options and issubclass(model, Options) else {}
        yield from (
            (prefix + name, field)
            for name, field in model.model_fields.items()
            if name not in common
        )


def value_of(written: str) -> bool | float | str | None:
    """The value of a default as it is written on a page: `1 GiB`, `2e10`, `5000`, `false`, or a
    word in code font. None for prose."""
    number, _, unit = written.partition(" ")
    if re.fullmatch(r"\d[\d.]*(e\d+)?", number) and unit in {"", *UNITS}:
        return float(number) * UNITS.get(unit, 1)
    word = re.fullmatch(r"`([^`]+)`", written)
    return {"true": True, "false": False}.get(written, word and word[1])


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_is_documented(heading: str) -> None:
    """Each section of the configuration has its table in docs/configuration.md, with its keys and
    no others."""
    assert set(tables()[heading]) == {name for name, _ in fields_of(heading)}


@pytest.mark.parametrize(("row", "models"), WITHIN_A_ROW.items())
def test_every_part_of_a_tenants_keys_is_documented(row: str, models: tuple[type, ...]) -> None:
    """The parts of a tenant's keys and of its webhook are in their rows."""
    page = (DOCS / "configuration.md").read_text()
    text = re.findall(rf"^\| `{row}` \|.*$", page, re.MULTILINE)[-1]  # the tenants' row
    for name in {name for model in models for name in model.model_fields}:
        assert re.search(rf"[{{ ]{name}: ", text), name


def plain_defaults() -> Iterator[tuple[str, str, Any]]:
    """Heading, name and value of every default that can be written as one value."""
    for heading in TABLES.keys() - {"`providers.NAME`"}:
        for name, field in fields_of(heading):
            if isinstance(field.default, int | float | str) and field.default != "":
                yield heading, name, field.default


@pytest.mark.parametrize(
    ("heading", "name", "default"), sorted(plain_defaults(), key=lambda row: row[:2])
)
def test_a_documented_default_is_the_codes(
    heading: str, name: str, default: bool | float | str
) -> None:
    """A default in docs/configuration.md is the code's default."""
    assert value_of(tables()[heading][name]) == default


@pytest.mark.parametrize("kind", registry.kinds())
def test_a_documented_default_of_a_kind_is_the_codes(kind: str) -> None:
    """The defaults that all kinds of provider share, and those of one kind instead (`onnx`: 2), are
    the code's."""
    for name, written in tables()["`providers.NAME`"].items():
        default = registry.load(kind).Options.model_fields[name].default
        usual, *others = written.split("; ")
        own = [other.partition(": ")[2] for other in others if other.startswith(f"`{kind}`: ")]
        if isinstance(default, int | float | tuple):
            plain = "x".join(map(str, default)) if isinstance(default, tuple) else default
            assert value_of((own or [usual])[0]) == plain, name


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1 GiB", 1 << 30),
        ("20 MiB", 20 << 20),
        ("64 KiB", 65536),
        ("2e10", 20_000_000_000),
        ("0.01", 0.01),
        ("150", 150),
        ("false", False),
        ("`INFO`", "INFO"),
        ("as many as cores", None),
        ("", None),
        ("5 apples", None),
    ],
)
def test_a_default_is_read_as_written(written: str, value: bool | float | str | None) -> None:
    """Sizes with a unit, powers of ten, numbers, booleans and words in code font are values; prose
    is none."""
    default = value_of(written)
    assert default == value
    assert isinstance(default, bool) == isinstance(value, bool)


def test_every_metric_is_documented() -> None:
    """docs/metrics.md lists the existing metrics, with their labels, and no others."""
    rows = re.findall(
        r"^\| `(imgrid_\w+)` \|([^|]*)\|", (DOCS / "metrics.md").read_text(), re.MULTILINE
    )
    listed = {
        name: {label.strip() for label in labels.split(",") if label.strip()}
        for name, labels in rows
    }
    registry = Metrics().registry
    registered = {metric._name: set(metric._labelnames) for metric in registry._collector_to_names}
    assert listed == registered


def test_every_metric_in_a_sentence_can_be_queried() -> None:
    """Pages other than docs/metrics.md name metrics as queries do: counters with `_total`."""
    exposed = re.findall(
        r"^# TYPE (imgrid_\w+) ", generate_latest(Metrics().registry).decode(), re.MULTILINE
    )
    queried = {name for name in exposed if not name.endswith("_created")}
    for page in set(PAGES) - {DOCS / "metrics.md", DOCS / "decisions.md"}:
        named = set(re.findall(r"`(imgrid_\w+)[`{]", page.read_text()))
        assert named <= queried, page.name


def codes(kind: type[errors.GatewayError] = errors.GatewayError) -> Iterator[str]:
    """The codes of an error and of its subclasses."""
    yield kind.code
    for sub in kind.__subclasses__():
        if sub.__module__ == "gateway.core.errors":
            yield from codes(sub)


def test_every_error_is_documented() -> None:
    """docs/errors.md lists the existing codes, and no others."""
    listed = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "errors.md").read_text(), re.MULTILINE))
    assert listed == set(codes())


def commands(group: Any, prefix: str = "imgrid") -> Iterator[tuple[str, Any]]:
    """The commands of a group, by their names."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield f"{prefix} {name}", command
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def test_every_command_and_option_is_documented() -> None:
    """docs/cli.md names every command and every option."""
    text = (DOCS / "cli.md").read_text()
    for name, command in commands(typer.main.get_command(app)):
        assert f"`{name}`" in text
        for parameter in command.params:
            for option in parameter.opts:
                assert option == "--help" or f"`{option}`" in text, f"{name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_is_finished(page: Path) -> None:
    """No page is empty, and no page has a place (@@) that is still to be filled."""
    text = page.read_text()
    assert text.strip()
    assert "@@" not in text


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_page_is_reached_from_the_readme(page: Path) -> None:
    """README.md links every page."""
    assert f"](docs/{page.name})" in (ROOT / "README.md").read_text()


def test_the_backend_of_azures_clients_can_be_changed() -> None:
    """The configuration in docs/after-azure-2028.md is valid, and serves all that it replaces."""
    page = (DOCS / "after-azure-2028.md").read_text()
    content = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    config = settings.Settings(**yaml.safe_load(content))
    assert {route.task for route in config.routes} == {"objects", "people", "labels", "text"}
    for route in config.routes:
        kind = registry.load(config.providers[route.provider]["kind"])
        assert config.providers[route.provider]["kind"] != "azure"
        assert kind.Options(**config.providers[route.provider])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    """Every link to a file of the project leads to an existing file."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    """Every `make` target that a page names is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_named_file_exists(page: Path) -> None:
    """Every file of the project that a page names in code font exists."""
    names = re.findall(
        r"`((?:gateway|providers|thresholds|tests|benchmarks|docs)/[\w./-]*)`", page.read_text()
    )
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_every_section_of_the_settings_is_covered() -> None:
    """These tests cover every section of the settings, and no other model."""
    modules = (settings, sections, routes, tenants)
    models = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel)
    }
    ours = {model for model in models if model.__module__.startswith("gateway.config.")} - {
        sections.Section,
        tenants.SecretKey,
    }
    tables = {model for models in TABLES.values() for model in models.values()}
    rows = {model for models in WITHIN_A_ROW.values() for model in models}
    assert ours == {model for model in tables | rows if model.__module__.startswith("gateway.")}


def test_tests_named_in_the_pages_exist() -> None:
    """A page that says which tests hold a claim names files that are there."""
    files = [path.as_posix() for path in ROOT.glob("tests/**/test_*.py")]
    for page in DOCS.glob("*.md"):
        for name in re.findall(r"`((?:\w+/)*test_\w+\.py)`", page.read_text()):
            assert any(file.endswith(f"/{name}") for file in files), f"{page.name}: {name}"
