"""What the documentation says is there, is there; and what is there is documented."""

import re
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

import providers
from gateway import errors, settings
from gateway.cli import app
from gateway.hooks.metrics import Metrics

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]


def sections(model=settings.Settings):
    nested = [settings.RouteSettings, settings.TenantSettings, settings.BufferSettings, settings.LimitSettings]
    return [model, *nested, settings.RekognitionKey, settings.NativeKey]


def keys():
    for section in sections():
        yield from section.model_fields
    for kind in providers.kinds():
        yield from providers.load(kind).Options.model_fields


@pytest.mark.parametrize("key", sorted(set(keys())))
def test_every_key_is_documented(key):
    """Every key of the configuration has its row in docs/configuration.md."""
    rows = re.findall(r"^\|([^|]+)\|", (DOCS / "configuration.md").read_text(), re.MULTILINE)
    named = {name.rpartition(".")[2] for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    prose = set(re.findall(r"`(\w+)`", (DOCS / "configuration.md").read_text()))
    assert key in named or key in prose & {"dialect", "access_key", "secret_key", "key"}


def test_defaults_are_those_of_the_code():
    """The defaults that docs/configuration.md gives for routes and limits are the code's."""
    text = (DOCS / "configuration.md").read_text()
    for model in (settings.RouteSettings, settings.BufferSettings):
        for name, field in model.model_fields.items():
            row = re.search(rf"^\| `(?:\w+\.)?{name}`[^|]*\| ([\d.e]+) \|", text, re.MULTILINE)
            if row:
                assert float(row[1]) == field.default


def test_every_metric_is_documented():
    """docs/metrics.md lists the metrics there are, with their labels, and no others."""
    rows = re.findall(r"^\| `(imgrid_\w+)` \|([^|]*)\|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    listed = {name: {label.strip() for label in labels.split(",") if label.strip()} for name, labels in rows}
    registry = Metrics().registry
    there = {metric._name: set(metric._labelnames) for metric in registry._collector_to_names}
    assert listed == there


def codes(kind=errors.GatewayError):
    yield kind.code
    for sub in kind.__subclasses__():
        if sub.__module__ == "gateway.errors":
            yield from codes(sub)


def test_every_error_is_documented():
    """docs/errors.md lists the codes there are, and no others."""
    listed = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "errors.md").read_text(), re.MULTILINE))
    assert listed == set(codes())


def commands(group, prefix="imgrid"):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def test_every_command_and_option_is_documented():
    """docs/cli.md names every command and every option."""
    text = (DOCS / "cli.md").read_text()
    for name, command in commands(typer.main.get_command(app)):
        assert f"`{name}`" in text
        for parameter in command.params:
            for option in parameter.opts:
                assert option == "--help" or f"`{option}`" in text, f"{name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Every link to a file of the project leads to a file that is there."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page):
    """Every `make` target that a page names is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page):
    """Every file of the project that a page names in its code font is there."""
    named = re.findall(r"`((?:gateway|providers|thresholds|tests|benchmarks|docs)/[\w./-]*)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_settings_describe_no_model_twice():
    """The sections that these tests look at are all there are."""
    seen = {value for value in vars(settings).values() if isinstance(value, type) and issubclass(value, BaseModel)}
    ours = {model for model in seen if model.__module__ == "gateway.settings" and not model.__name__.startswith("_")}
    assert ours == set(sections())
