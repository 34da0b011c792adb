"""The first minutes: an example for each provider, a check before the start, and a start that says
what stands in its way."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import main
from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.routes import cascade_of

ROUTE = {"task": "objects", "provider": "eye", "stages": [{"shape": "3x3"}]}
CONFIG = {"providers": {"eye": {"kind": "shapes"}}, "routes": [ROUTE]}


def imgrid(*words: str) -> Result:
    """The command's result; a ConfigError is raised."""
    result = CliRunner().invoke(main.app, words)
    if isinstance(result.exception, ConfigError):
        raise result.exception
    return result


def written(folder: Path, **changes: Any) -> str:
    """The path of a config file with those changes."""
    file = folder / "imgrid.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, **changes}))
    return str(file)


def test_the_version_is_shown() -> None:
    """`imgrid --version` shows it."""
    assert imgrid("--version").output.startswith("imgrid 0.")


@pytest.mark.parametrize("provider", [str(provider) for provider in main.ExampleProvider])
def test_each_example_is_a_valid_configuration(tmp_path: Path, provider: str) -> None:
    """The example for each provider can be read: its keys, its provider's options and its stages;
    a client in its comments as well."""
    example = imgrid("config", "example", "--provider", provider).output
    file = tmp_path / "imgrid.yaml"
    file.write_text(example)
    config = settings.read(file, {})
    (name,) = config.providers
    options = settings.options_of(config, name, file)
    assert options.kind == {"ocr": "text"}.get(provider, provider)
    assert [cascade_of(route, index, file) for index, route in enumerate(config.routes)]
    lines = example[example.index("# tenants:") :].splitlines()
    commented = "\n".join(line.removeprefix("# ") for line in lines[:5])
    assert yaml.safe_load(commented)["tenants"][0]["keys"][-1]["dialect"] == "native"


def test_without_a_provider_the_example_needs_no_account() -> None:
    """Without --provider the example is that of the local OCR."""
    example = imgrid("config", "example").output
    assert example == imgrid("config", "example", "--provider", "ocr").output


def test_the_example_for_azure_says_when_azure_ends() -> None:
    """The example for Azure names the end of Image Analysis and the page about it."""
    example = imgrid("config", "example", "--provider", "azure").output
    assert "2028-09-25" in example
    assert "after-azure-2028" in example


def test_a_good_configuration_is_in_order(tmp_path: Path) -> None:
    """`imgrid config check` shows the routes, and leaves no file behind."""
    result = imgrid("config", "check", "-c", written(tmp_path))
    assert result.exit_code == 0
    assert "is in order" in result.output
    assert "eye (shapes), 3x3" in result.output
    assert [file.name for file in tmp_path.iterdir()] == ["imgrid.yaml"]


def test_a_missing_model_is_found_before_the_start(tmp_path: Path) -> None:
    """`imgrid config check` loads models as a start does, and names what is missing."""
    providers = {"eye": {"kind": "onnx", "model": "none.onnx"}}
    with pytest.raises(ConfigError, match=r"providers\.eye.*none\.onnx"):
        imgrid("config", "check", "-c", written(tmp_path, providers=providers))


@pytest.mark.parametrize(
    ("listen", "message"),
    [("8080", "--listen: listen: write address:port"), ("0.0.0.0:80", "listen: 0.0.0.0:80 is not")],
)
def test_serve_checks_the_address_of_its_option(tmp_path: Path, listen: str, message: str) -> None:
    """`serve --listen` is checked as `listen` is: without tenants only loopback will do."""
    with pytest.raises(ConfigError) as error:
        imgrid("serve", "-c", written(tmp_path), "--listen", listen)
    assert message in str(error.value)


def test_the_option_overrides_file_and_environment(tmp_path: Path) -> None:
    """`--listen` overrides the environment, which overrides the file."""
    file = Path(written(tmp_path, listen="127.0.0.1:1"))
    environment = {"IMGRID_LISTEN": "127.0.0.1:2"}
    assert settings.read(file, environment).port == 2
    assert settings.read(file, environment, listen="127.0.0.1:3").port == 3


def jobs_files(folder: Path) -> Mapping[str, str]:
    """Places where no jobs can be kept, by what is wrong with them."""
    (folder / "plain").write_text("not a folder")
    (folder / "folder.sqlite3").mkdir()
    (folder / "text.sqlite3").write_text("no database, but a text of some length")
    with sqlite3.connect(folder / "newer.sqlite3") as db:
        db.execute("PRAGMA user_version = 99")
    return {
        "is no folder": "plain/jobs.sqlite3",
        "is no file": "folder.sqlite3",
        "is not a file of jobs": "text.sqlite3",
        "is of version 99": "newer.sqlite3",
    }


@pytest.mark.parametrize("command", [("serve",), ("config", "check")])
@pytest.mark.parametrize(
    "fault", ["is no folder", "is no file", "is not a file of jobs", "is of version 99"]
)
def test_a_jobs_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, command: tuple[str, ...], fault: str
) -> None:
    """A gateway whose jobs and ledger could not be kept does not start, and says what to do."""
    config = written(tmp_path, jobs={"file": jobs_files(tmp_path)[fault]})
    with pytest.raises(ConfigError) as error:
        imgrid(*command, "-c", config)
    assert f"{config}: jobs.file: " in str(error.value)
    assert fault in str(error.value)
    assert "IMGRID_JOBS__FILE" in str(error.value)


def test_a_jobs_file_that_another_gateway_writes_stops_no_start(tmp_path: Path) -> None:
    """A jobs' file that is being written at this moment is in order."""
    config = written(tmp_path, jobs={"file": "jobs.sqlite3"})
    db = sqlite3.connect(tmp_path / "jobs.sqlite3", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    try:
        assert imgrid("config", "check", "-c", config).exit_code == 0
    finally:
        db.close()


def test_with_redis_no_jobs_file_is_needed(tmp_path: Path) -> None:
    """With Redis nothing is kept in a file, so none has to be writable."""
    (tmp_path / "plain").write_text("")
    config = written(tmp_path, redis="redis://127.0.0.1:1/0", jobs={"file": "plain/jobs.sqlite3"})
    assert imgrid("config", "check", "-c", config).exit_code == 0
