"""The wheel and the sdist as pip installs them, and plugins of other distributions beside them.

What README.md and docs/extending.md show is taken from the page and run with the wheel in an
environment of its own. Packages come from the index that pip is configured for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import httpx
import pytest
import yaml

from gateway.demo.signs import draw
from gateway.testing.pictures import encoded, numbered
from gateway.testing.redis_server import free_port
from providers.detection import Box, Detection
from tests.support.environments import environment, install
from thresholds.fusion.looks import Evidence, Look, PhotoFacts
from thresholds.shape import Shape

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gateway", "providers", "thresholds")
PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES: Mapping[str, str] = dict(
    re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.M | re.S)
)
"""The files that docs/extending.md shows, by name."""

PACKAGE_DATA = {
    "Lua scripts": "gateway/store/redis/lua/**/*.lua",
    "the schema of the jobs' file": "gateway/store/sqlite/schema.sql",
    "pages": "gateway/**/*.html",
    "scripts of pages": "gateway/**/*.js",
    "styles of pages": "gateway/**/*.css",
    "examples of a configuration": "gateway/cli/examples/*.yaml",
    "names of things": "gateway/vocabulary/**/*.yaml",
    "marks of typed packages": "*/py.typed",
}

PHOTO = encoded(numbered(7))

slow = pytest.mark.slow


def build(python: Path, source: Path, folder: Path, *targets: str) -> None:
    """Builds `targets`, such as "sdist" and "wheel", of a source tree into a folder."""
    command = [python, "-m", "hatchling", "build", "--directory", folder]
    for target in targets:
        command += ["--target", target]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the project's build backend."""
    python = environment(tmp_path_factory.mktemp("builder"))
    install(python, "hatchling")
    return python


@pytest.fixture(scope="module")
def artefacts(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel, built from a copy of the sources without git."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("artefacts")
    for name in (*PACKAGES, "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, source)
    build(builder, source, folder, "sdist", "wheel")
    return folder


@pytest.fixture(scope="module")
def wheel(artefacts: Path) -> Path:
    (path,) = artefacts.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(artefacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the sdist unpacks to."""
    (path,) = artefacts.glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


def members(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel and their bytes."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sources(pattern: str) -> set[str]:
    """The files of this tree that fit a pattern, from its root."""
    return {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if path.is_file()}


@slow
@pytest.mark.parametrize("pattern", PACKAGE_DATA.values(), ids=PACKAGE_DATA)
def test_wheel_and_sdist_hold_all_package_data(wheel: Path, unpacked: Path, pattern: str) -> None:
    """Data files are in the wheel and in the sdist at the same places as here."""
    assert (names := sources(pattern))
    assert names <= members(wheel).keys()
    assert [name for name in names if not (unpacked / name).is_file()] == []


@slow
def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Every file of the packages is in the wheel, and no other: no tests, no benchmarks."""
    names = {name for name in members(wheel) if ".dist-info/" not in name}
    packaged = set[str]().union(*(sources(f"{package}/**/*") for package in PACKAGES))
    assert names == {name for name in packaged if "__pycache__" not in name}


@slow
def test_a_wheel_built_from_the_sdist_is_the_same(
    builder: Path, wheel: Path, unpacked: Path, tmp_path: Path
) -> None:
    """The sdist is complete: a wheel built from it has the same files with the same bytes."""
    build(builder, unpacked, tmp_path, "wheel")
    assert members(tmp_path / wheel.name) == members(wheel)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that docs/extending.md shows, and its configuration."""
    folder = tmp_path_factory.mktemp("example")
    for name in ("pyproject.toml", "imgrid_brightest.py", "imgrid.yaml"):
        (folder / name).write_text(FILES[name])
    return folder


@pytest.fixture(scope="module")
def command(wheel: Path, example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `imgrid` of an environment that holds the wheel, the example and what they depend on."""
    python = environment(tmp_path_factory.mktemp("environment"))
    install(python, wheel, example)
    return python.with_name("imgrid")


def run(command: Sequence[str | Path], folder: Path) -> str:
    """The output of a command that sees neither this tree nor this test's settings."""
    return subprocess.run(
        command, cwd=folder, env=clean(), check=True, capture_output=True, text=True
    ).stdout


def clean() -> dict[str, str]:
    """The variables of this process without those that lead to this tree or to its settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith("IMGRID_")
    }


@slow
def test_the_documented_provider_is_known_to_an_installed_gateway(
    command: Path, example: Path
) -> None:
    """In an environment with the wheel and the example alone, `imgrid config show` knows the kind
    and its settings."""
    shown = yaml.safe_load(run([command, "config", "show"], example))
    spot = shown["providers"]["spot"]
    assert (spot["kind"], spot["spot_px"], spot["canvas"]) == ("brightest", 8, "1280x1280")


@pytest.fixture
def address(command: Path, example: Path, tmp_path: Path) -> Iterator[str]:
    """The address of an installed gateway that runs with the page's configuration."""
    config = tmp_path / "imgrid.yaml"
    config.write_text(f"listen: 127.0.0.1:0\n{(example / 'imgrid.yaml').read_text()}")
    with subprocess.Popen(
        [command, "serve", "-c", config], stdout=subprocess.PIPE, text=True, env=clean()
    ) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address is not None
            yield address[0]
        finally:
            process.terminate()


@slow
def test_the_documented_provider_answers_a_picture(address: str) -> None:
    """A picture that is sent to the installed gateway comes back with the spot that the example
    finds."""
    (photo,) = httpx.post(f"{address}/v1/detect?task=objects", content=PHOTO).json()["photos"]
    (detection,) = photo["detections"]
    assert detection["label"] == "brightest"


@slow
def test_the_documented_provider_passes_the_conformance_suite(
    example: Path, tmp_path: Path
) -> None:
    """The conformance suite finds an installed provider of another distribution, and the example
    passes it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path]
    subprocess.run([*pip, "--disable-pip-version-check", example], check=True)
    suite = ROOT / "tests" / "providers" / "test_conformance.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", suite, "-k", "brightest"],
        cwd=ROOT,
        env={**clean(), "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 15


def shown(language: str) -> str:
    """The first block of that language under "Use it" in README.md."""
    text = (ROOT / "README.md").read_text().partition("## Use it")[2]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[0]


@slow
def test_the_commands_of_the_readme_run_as_they_stand(wheel: Path, tmp_path: Path) -> None:
    """In an empty environment and an empty folder, README.md's commands install the wheel, start a
    gateway, and read photos by curl, which shows the saving, and by boto3. Only the clone is
    replaced by the wheel, and the port by a free one."""
    (photo,) = draw(1)
    (tmp_path / "photo.jpg").write_bytes(photo.jpeg)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    port = str(free_port())
    path = os.pathsep.join([str(tmp_path / "venv" / "bin"), os.environ["PATH"]])
    patience = {"IMGRID_ROUTES__0__DEADLINE_MS": "600000", "IMGRID_LISTEN": f"127.0.0.1:{port}"}
    env = {**clean(), **patience, "PATH": path}
    commands = shown("sh").replace("'.[", f"'{wheel}[").replace("8080", port).splitlines()
    start = next(index for index, line in enumerate(commands) if line.startswith("imgrid serve"))
    for command in commands[:start]:
        subprocess.run(command, shell=True, cwd=tmp_path, env=env, check=True)
    python = shown("python").replace("8080", port)
    with subprocess.Popen(
        f"exec {commands[start]}", shell=True, cwd=tmp_path, env=env, stdout=-1
    ) as process:
        try:
            assert process.stdout is not None
            assert port.encode() in process.stdout.readline()
            outputs = [
                subprocess.run(words, cwd=tmp_path, env=env, check=True, capture_output=True)
                for words in (
                    ["sh", "-ec", "\n".join(commands[start + 1 :])],
                    ["python", "-c", python],
                )
            ]
        finally:
            process.terminate()
    for output in outputs:
        assert photo.words[0].encode() in output.stdout
    assert b"x-imgrid-billed: 1\r\nx-imgrid-saved: 3" in outputs[0].stdout.lower()


def test_the_documented_rule_judges_as_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule that docs/extending.md shows accepts and refuses as the page says."""
    (tmp_path / "imgrid_count.py").write_text(FILES["imgrid_count.py"])
    monkeypatch.syspath_prepend(tmp_path)
    rule = import_module("imgrid_count").Rule.model_validate({"kind": "count", "least": 2})
    detections = [Detection("cat", 0.9, Box(0, 0, 1, 1))] * 2
    for count, skip in ((2, 0), (1, 1)):
        looks = (Look(Shape(2, 2), detections[:count]),)
        assert rule.judge(Evidence(PhotoFacts(640, 480, 50_000), looks)).skip == skip
