"""Who may import whom: providers <- thresholds <- gateway; in the gateway values <- pure parts <- flow <- app."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "providers": {"providers"},
    "thresholds": {"thresholds", "providers.base"},
    "gateway.errors": set(),
    "gateway.describing": set(),
    "gateway.clock": set(),
    "gateway.budget": {"gateway.errors"},
    "gateway.overlay": set(),
    "gateway.guard": set(),
    "gateway.model": {"gateway.errors", "providers.base", "thresholds"},
    "gateway.ledger": {"gateway.model"},
    "gateway.wire": {"gateway.errors", "gateway.model", "providers.base", "thresholds.shape"},
    "gateway.keys": {"gateway.model"},
    "gateway.keystore": {"gateway.keys"},
    "gateway.livekeys": {"gateway.clock", "gateway.keys", "gateway.keystore", "gateway.model"},
    "gateway.newkeys": {"gateway.keys", "gateway.keystore"},
    "gateway.packer": {"gateway.model", "providers.base"},
    "gateway.headers": set(),
    "gateway.admission": {"gateway.errors", "gateway.headers", "gateway.model", "providers.base"},
    "gateway.places": set(),
    "gateway.sources": {"gateway.errors", "gateway.guard", "gateway.model", "gateway.places"},
    "gateway.sections": {"gateway.places"},
    "gateway.buckets": {"gateway.errors", "gateway.places", "gateway.sections", "gateway.sources", "providers.base"},
    "gateway.fetching": {"gateway.admission", "gateway.errors", "gateway.guard", "gateway.model", "gateway.sources",
                         "providers.base"},
    "gateway.grid": {"gateway.grid", "gateway.model", "gateway.errors", "gateway.admission", "providers.base",
                     "thresholds"},
    "gateway.photos": {"gateway.admission", "gateway.errors", "gateway.model", "providers.base", "thresholds.truth"},
    "gateway.names": {"gateway.names", "providers.base"},
    "gateway.redis": {"gateway.errors"},
    "gateway.buffer": {"gateway.buffer", "gateway.clock", "gateway.errors", "gateway.ledger", "gateway.model",
                       "gateway.packer", "gateway.wire", "thresholds.shape"},
    "gateway.buffer.redis": {"gateway.buffer", "gateway.clock", "gateway.errors", "gateway.ledger",
                             "gateway.model", "gateway.packer", "gateway.redis", "gateway.wire",
                             "thresholds.shape"},
    "gateway.events": {"gateway.grid.layout", "gateway.model", "providers.base", "thresholds.shape",
                       "thresholds.watching"},
    "gateway.faults": {"providers.base"},
    "gateway.rate": set(),
    "gateway.breaker": {"providers.base"},
    "gateway.crowding": {"gateway.grid", "providers.base", "thresholds.shape"},
    "gateway.asking": {"gateway.breaker", "gateway.clock", "gateway.errors", "gateway.faults", "gateway.rate",
                       "providers.base"},
    "gateway.fallback": {"gateway.asking", "gateway.crowding", "gateway.faults", "gateway.model", "providers.base",
                         "thresholds.shape"},
    "gateway.dialects": {"gateway.dialects", "gateway.errors", "gateway.keys", "gateway.model", "gateway.names",
                         "gateway.describing", "gateway.places", "gateway.sigv4", "providers.base"},
    "gateway.sigv4": {"gateway.dialects.base", "gateway.errors", "gateway.keys", "gateway.model"},
    "gateway.settings": {"gateway.faults", "gateway.keys", "gateway.model", "gateway.overlay", "gateway.sections",
                         "providers", "thresholds"},
    "gateway.checks": {"gateway.settings", "providers.base", "thresholds"},
    "gateway.sizes": {"gateway.events", "gateway.model", "providers.base", "thresholds"},
    "gateway.canvases": {"gateway.asking", "gateway.buffer.base", "gateway.clock", "gateway.crowding", "gateway.errors",
                         "gateway.events", "gateway.fallback", "gateway.faults", "gateway.grid", "gateway.ledger",
                         "gateway.model", "providers.base", "thresholds.cascade"},
    "gateway.rounds": {"gateway.asking", "gateway.buffer.base", "gateway.canvases", "gateway.errors", "gateway.events",
                       "gateway.faults", "gateway.grid", "gateway.model", "gateway.sizes", "providers.base",
                       "thresholds"},
    "gateway.groups": {"gateway.asking", "gateway.buffer.base", "gateway.canvases", "gateway.errors", "gateway.grid",
                       "gateway.model", "gateway.rounds", "providers.base", "thresholds"},
    "gateway.flow": {"gateway.asking", "gateway.breaker", "gateway.buffer.base", "gateway.canvases", "gateway.clock",
                     "gateway.errors", "gateway.events", "gateway.fallback", "gateway.faults", "gateway.grid.studio",
                     "gateway.groups", "gateway.ledger", "gateway.model", "gateway.packer", "gateway.rounds",
                     "gateway.sizes", "providers.base", "thresholds.shape",
                     "thresholds.variants"},
    "gateway.watch": {"gateway.clock", "gateway.events", "gateway.model", "providers.base", "thresholds"},
    "gateway.service": {"gateway.admission", "gateway.budget", "gateway.dialects.base", "gateway.errors",
                        "gateway.events", "gateway.flow", "gateway.model", "gateway.names", "providers.base",
                        "thresholds.variants"},
    "gateway.replies": {"gateway.replies", "gateway.clock", "gateway.dialects.base", "gateway.errors", "gateway.events",
                        "gateway.model"},
    "gateway.replies.redis": {"gateway.replies.base", "gateway.buffer.redis", "gateway.dialects.base", "gateway.errors",
                              "gateway.redis"},
    "gateway.forwarding": {"gateway.asking", "gateway.dialects.base", "gateway.errors", "gateway.ledger",
                           "gateway.model", "providers.base"},
    "gateway.http": {"gateway.budget", "gateway.dialects.base", "gateway.errors", "gateway.events",
                     "gateway.forwarding", "gateway.keys", "gateway.model", "gateway.replies", "gateway.service"},
    "gateway.rpc": {"gateway.dialects.base", "gateway.errors", "gateway.events", "gateway.http"},
    "gateway.jobs.base": {"gateway.buffer.base", "gateway.errors", "gateway.model"},
    "gateway.jobs": {"gateway.jobs", "gateway.admission", "gateway.buffer.base", "gateway.clock", "gateway.dialects",
                     "gateway.errors", "gateway.events", "gateway.guard", "gateway.http", "gateway.keys",
                     "gateway.model", "gateway.describing", "gateway.wire", "providers.base"},
    "gateway.jobs.redis": {"gateway.jobs", "gateway.buffer", "gateway.clock", "gateway.errors", "gateway.model",
                           "gateway.redis", "gateway.wire"},
    "gateway.webhooks": {"gateway.webhooks", "gateway.clock", "gateway.errors", "gateway.guard", "gateway.jobs.base"},
    "gateway.hooks": {"gateway.events", "gateway.ledger", "gateway.model", "gateway.webhooks", "thresholds.shape",
                      "thresholds.watching"},
    "gateway.stores": {"gateway.buffer", "gateway.clock", "gateway.jobs", "gateway.redis", "gateway.replies",
                       "gateway.settings"},
    "gateway.operating": {"gateway.buffer.base", "gateway.clock", "gateway.errors", "gateway.model", "gateway.packer",
                          "gateway.settings", "gateway.stores", "gateway.wire"},
    "gateway.operations": {"gateway.buffer.base", "gateway.clock", "gateway.dialects.native", "gateway.errors",
                           "gateway.hooks", "gateway.http", "gateway.keys", "gateway.ledger", "gateway.describing",
                           "providers.base"},
    "gateway.routes": {"gateway.dialects.native", "gateway.errors", "gateway.http", "gateway.keys", "gateway.model",
                       "gateway.describing", "gateway.sizes", "gateway.watch", "thresholds"},
    "gateway.doors": {"gateway.server", "gateway.dialects", "gateway.http", "gateway.rpc", "gateway.settings"},
    "gateway.openapi": {"gateway.describing", "gateway.dialects", "gateway.jobs.openapi", "gateway.routes"},
    "gateway.unserved": {"gateway.dialects.native", "gateway.errors"},
    "gateway.server": set(),
    "gateway.report": {"gateway.settings"},
    "gateway.drawing": {"thresholds"},
}  # fmt: skip
"""By module or package, what it may import of this project. What is not named here stands above all of it."""

ABOVE = {"gateway.app", "gateway.cli", "gateway.cli_keys", "gateway.cli_quality", "gateway.console", "gateway.demo",
         "gateway.errands", "gateway.evaluating", "gateway.group_profiling", "gateway.planned", "gateway.planning",
         "gateway.probing",
         "gateway.profiler", "gateway.profiling", "gateway.replaying", "gateway.scores", "gateway.showing",
         "gateway.testing", "gateway.visiting"}  # fmt: skip
COMMAND = {"gateway.cli", "gateway.console"}


def modules():
    for package in ("providers", "thresholds", "gateway"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield pytest.param(path, name.removesuffix(".__init__"), id=name)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if _is_module(name) else node.module for name in submodules)


def _is_module(name):
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or place.is_dir()


def within(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize(("path", "name"), list(modules()))
def test_a_module_imports_only_what_stands_below_it(path, name):
    """A module imports only what the table allows it."""
    row = next((key for key in sorted(MAY_IMPORT, key=len, reverse=True) if within(name, [key])), None)
    if row is None:
        assert name == "gateway" or within(name, ABOVE), f"{name} is in no row: give it a place in the table"
        return
    ours = {other for other in imported(path) if other.split(".")[0] in ("providers", "thresholds", "gateway")}
    strangers = {other for other in ours if not within(other, MAY_IMPORT[row])}
    assert not strangers, f"{name} must not import {strangers}"


@pytest.mark.parametrize(("path", "name"), list(modules()))
def test_only_settings_and_the_command_read_the_environment(path, name):
    """The environment is read by the command alone, which hands it to the settings."""
    reads = "os.environ" in path.read_text() or "getenv" in path.read_text()
    assert not reads or name in COMMAND


@pytest.mark.parametrize(("path", "name"), list(modules()))
def test_files_can_be_read_in_one_sitting(path, name):
    """No file has more than 400 lines."""
    assert len(path.read_text().splitlines()) <= 400
