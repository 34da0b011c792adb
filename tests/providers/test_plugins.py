"""Plugins of other distributions: how they are found, and the messages about those that cannot be
used.

Each test puts a folder on `sys.path` in which a distribution lies as pip would have installed it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.dialects import registry as dialects
from providers import registry as providers
from providers.plugins import PluginError
from thresholds.rules import registry as rules

Install = Callable[..., None]

PROVIDER = """
from providers.options import Options

def create(name, options, folder):
    return f"{name} in {folder}"
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(distribution, group, {name: value}, {module: source})` puts a distribution in
    place."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(
        distribution: str, group: str, points: dict[str, str], modules: dict[str, str]
    ) -> None:
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(source)
        metadata = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
        (metadata / "entry_points.txt").write_text("\n".join(lines))

    return install


def test_a_provider_of_another_distribution_is_found(install: Install) -> None:
    """A provider that another distribution declares stands beside those of this one, and its module
    is used as it is."""
    install("plug-a", "imgrid.providers", {"sonar": "plug_a"}, {"plug_a": PROVIDER})
    assert {"sonar", "onnx"} <= set(providers.kinds())
    kind = providers.load("sonar")
    options = kind.Options(kind="sonar")
    assert kind.create("mine", options, Path("here")) == "mine in here"


def test_a_plugin_is_imported_when_it_is_used(install: Install) -> None:
    """Plugins are listed without an import, so that a broken one harms only those that use it."""
    install("plug-b", "imgrid.providers", {"sonar": "plug_b"}, {"plug_b": "raise OSError('boom')"})
    assert "sonar" in providers.kinds()
    assert providers.load("shapes").Options
    with pytest.raises(
        PluginError,
        match=r"^provider kind 'sonar' of plug-b: plug_b cannot be imported: OSError: boom$",
    ):
        providers.load("sonar")


def test_a_kind_that_is_misspelt_is_guessed() -> None:
    """The message about an unknown kind names those that are known, and the one most like it."""
    with pytest.raises(
        PluginError,
        match=r"no provider kind 'rekogniton' \(did you mean rekognition\?\); known: azure, ",
    ):
        providers.load("rekogniton")


def test_a_missing_package_is_named(install: Install) -> None:
    """The message about a plugin that imports a package that is not installed names the package and
    the distribution that needs it."""
    source = "import no_such_package.parts"
    install("plug-c", "imgrid.providers", {"sonar": "plug_c"}, {"plug_c": source})
    with pytest.raises(
        PluginError,
        match=r"'sonar' of plug-c: it needs the package no_such_package, which is not installed$",
    ):
        providers.load("sonar")


@pytest.mark.parametrize("value", ["plug_d.sonar", "no_plug.sonar", "no_plug"])
def test_an_entry_point_that_leads_nowhere_is_named(install: Install, value: str) -> None:
    """The message about an entry point whose module its distribution does not have says so, instead
    of asking for a package of that name."""
    install("plug-d", "imgrid.providers", {"sonar": value}, {"plug_d": ""})
    with pytest.raises(
        PluginError, match=rf"'sonar' of plug-d: its entry point names {value}, but there is no mod"
    ):
        providers.load("sonar")


@pytest.mark.parametrize(
    ("source", "missing"),
    [("", "Options, create"), ("from providers.options import Options", "create")],
)
def test_the_missing_parts_of_a_provider_are_named(
    install: Install, source: str, missing: str
) -> None:
    """The message about a module without Options or create names the missing parts."""
    module = f"plug_e_{len(source)}"
    install("plug-e", "imgrid.providers", {"sonar": module}, {module: source})
    with pytest.raises(PluginError, match=rf"'sonar' of plug-e: {module} has no {missing}$"):
        providers.load("sonar")


def test_options_derive_from_the_shared_ones(install: Install) -> None:
    """A provider's Options have the settings that all providers share."""
    source = "class Options: pass\ncreate = print"
    install("plug-f", "imgrid.providers", {"sonar": "plug_f"}, {"plug_f": source})
    with pytest.raises(PluginError, match=r"'sonar': its Options must derive from providers\.opti"):
        providers.load("sonar")


def test_two_distributions_with_one_name_are_named(install: Install) -> None:
    """Where two distributions declare different plugins of one name, neither is used, the message
    names both, and the other plugins work."""
    install("plug-g", "imgrid.providers", {"sonar": "plug_g"}, {"plug_g": PROVIDER})
    install("plug-h", "imgrid.providers", {"sonar": "plug_h"}, {"plug_h": PROVIDER})
    with pytest.raises(
        PluginError, match=r"provider kind 'sonar': plug_\w of plug-\w and plug_\w of plug-\w; unin"
    ):
        providers.load("sonar")
    assert providers.kinds().count("sonar") == 1
    assert providers.load("shapes").Options


def test_a_rule_of_another_distribution_is_read(install: Install) -> None:
    """A rule of another distribution is read from its JSON form; one that is no rule is an error of
    the value, as the reader of a cascade expects."""
    source = (
        "from thresholds.rules.always import Rule as Always\nclass Rule(Always):\n    kind: str"
    )
    install(
        "plug-i",
        "imgrid.rules",
        {"often": "plug_i:Rule", "never": "plug_i:rule"},
        {"plug_i": source + "\nrule = object()"},
    )
    assert {"often", "never", "always"} <= set(rules.kinds())
    assert rules.read({"kind": "often"}).kind == "often"
    with pytest.raises(ValueError, match=r"rule kind 'never' of plug-i: plug_i:rule has no model_"):
        rules.read({"kind": "never"})
    with pytest.raises(ValueError, match=r"no rule kind 'alway' \(did you mean always\?\)"):
        rules.read({"kind": "alway"})


def test_a_dialect_of_another_distribution_is_loaded(install: Install) -> None:
    """A dialect of another distribution is loaded with those of this one."""
    source = "from gateway.dialects.native.dialect import DIALECT"
    install("plug-j", "imgrid.dialects", {"zulu": "plug_j:DIALECT"}, {"plug_j": source})
    assert [dialect.name for dialect in dialects.load_all()][-2:] == ["rekognition", "native"]


def test_the_missing_parts_of_a_dialect_are_named(install: Install) -> None:
    """The message about an object that is no dialect names it, its distribution and the missing
    parts."""
    install("plug-k", "imgrid.dialects", {"zulu": "plug_k:DIALECT"}, {"plug_k": "DIALECT = 1"})
    with pytest.raises(
        PluginError, match=r"^dialect 'zulu' of plug-k: .* has no name, vendor, paths, lim"
    ):
        dialects.load_all()
