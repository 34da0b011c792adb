"""The image and the compose file are what docs/docker.md says, shown without a container engine.

Both files are read and held to the rules everywhere, the compose file also to the schema of the
Compose specification. Where hadolint, redis-server, a package registry or `docker compose` is at
hand they are held to these too; elsewhere that test is skipped and says so. The Dockerfile's steps
run in folders of the test's own instead of those of an image.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont

from gateway.api.server import CLOSING_S
from gateway.config import settings
from gateway.testing.redis_server import free_port
from tests.support.paths import ROOT

DOCKERFILE, COMPOSE, CONFIG = (
    ROOT / "docker/Dockerfile",
    ROOT / "docker-compose.yml",
    ROOT / "docker/imgrid.yaml",
)
GATEWAYS = ("gateway-a", "gateway-b")

BASE_LIBRARIES = re.compile(r"linux-vdso|ld-linux|lib(c|m|dl|rt|util|pthread|gcc_s|stdc\+\+|z)\.so")
"""The libraries of Debian's smallest image, and so of every slim Python: libc6, libgcc-s1,
libstdc++6 and zlib1g."""

OFFLINE = re.compile(
    r"(?i)failed to (establish a new connection|connect|resolve)|unable to connect|timed out"
)
"""The words of pip when it reaches no package registry."""


class Instruction(NamedTuple):
    """One instruction of a Dockerfile: its stage, counted from 0, its flags (`--from=build`), and
    the rest."""

    stage: int
    word: str
    flags: tuple[str, ...]
    rest: str

    @property
    def words(self) -> list[str]:
        """The rest as a list: as JSON if it is JSON, or else as a shell would split it."""
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)


def dockerfile() -> Iterator[Instruction]:
    """The Dockerfile's instructions in order, without comments and with continued lines joined, as
    for the builder."""
    text = "\n".join(
        line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")
    )
    stage = -1
    for line in filter(None, map(str.strip, text.replace("\\\n", " ").splitlines())):
        word, rest = line.split(maxsplit=1)
        flags = re.match(r"(--\S+\s+)*", rest)[0]
        stage += word == "FROM"
        yield Instruction(
            stage, word, tuple(flags.split()), re.sub(r"\s+", " ", rest[len(flags) :])
        )


LINES = tuple(dockerfile())
FINAL = [line for line in LINES if line.stage == LINES[-1].stage]


def only(word: str) -> Instruction:
    """The only instruction of its kind in the final stage."""
    (line,) = (line for line in FINAL if line.word == word)
    return line


def compose(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The compose file as Compose reads it: with merge keys applied and `${NAME:-default}` filled
    in."""
    values = environment or {}
    text = re.sub(
        r"\$\{(\w+):-(\w*)\}",
        lambda variable: values.get(variable[1]) or variable[2],
        COMPOSE.read_text(),
    )
    assert "${" not in text
    services: dict[str, Any] = yaml.safe_load(text)
    return services


SERVICES = compose()["services"]


def seconds(duration: str) -> int:
    assert re.fullmatch(r"\d+s", duration)
    return int(duration[:-1])


def tool(name: str) -> str:
    """The path of a command, next to this Python or on the PATH; skips the test where there is
    none."""
    path = shutil.which(
        name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    return path or pytest.skip(f"there is no {name} here")


# -- the Dockerfile, read


def test_the_dockerfile_has_no_lint() -> None:
    """hadolint finds nothing in the Dockerfile."""
    process = subprocess.run(
        [tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout) == (0, "")


def test_the_base_image_is_pinned() -> None:
    """Every stage begins from the same slim image of a Python version that the project supports."""
    (image,) = {line.rest.split()[0] for line in LINES if line.word == "FROM"}
    version = re.fullmatch(r"python:(3\.\d+)-slim-[a-z]+", image)[1]
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {version}" in about["classifiers"]


def test_the_final_stage_has_no_build_tools() -> None:
    """The last stage installs nothing itself: the result of the first is copied there, without
    pip."""
    assert "--without-pip" in " ".join(
        line.rest for line in LINES if line.word == "RUN" and line.stage == 0
    )
    assert [line.flags for line in FINAL if line.word in {"COPY", "ADD"}] == [("--from=build",)]
    assert not re.search(
        r"\b(pip|apt-get|apt|gcc|curl|wget)\b", " ".join(line.rest for line in FINAL)
    )


def test_the_image_does_not_run_as_root() -> None:
    """The image runs as a numeric user and group other than root."""
    user, group = only("USER").rest.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_image_starts_and_checks_itself() -> None:
    """The image starts `imgrid serve`, stops by SIGTERM, names its port, and checks its health
    without curl."""
    assert only("ENTRYPOINT").words + only("CMD").words == ["imgrid", "serve"]
    assert (only("STOPSIGNAL").rest, only("EXPOSE").rest) == ("SIGTERM", "8080")
    assert healthcheck()[:2] == ["python", "-c"]


def healthcheck() -> list[str]:
    """The command of the image's HEALTHCHECK."""
    command: list[str] = json.loads(only("HEALTHCHECK").rest.removeprefix("CMD "))
    return command


def test_the_image_installs_existing_extras() -> None:
    """The extras that the image installs are extras of the project; text, Redis and AWS keys are
    among them."""
    extras_named = re.search(r"'\.\[([\w,]+)\]'", " ".join(line.rest for line in LINES))[1].split(
        ","
    )
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {"ocr", "redis", "rekognition"} <= set(extras_named) <= set(extras)


def test_the_build_context_is_what_the_dockerfile_copies() -> None:
    """.dockerignore lets through the files that the Dockerfile copies, and nothing else."""
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    sources = {
        name for line in LINES if line.word == "COPY" and not line.flags for name in line.words[:-1]
    }
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources
    assert all((ROOT / name).exists() for name in sources)


# -- the compose file, read


def test_the_compose_file_fits_the_specification() -> None:
    """docker-compose.yml is valid by the schema of the Compose specification."""
    pytest.importorskip("check_jsonschema")
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(COMPOSE),
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout


def compose_command() -> list[str]:
    """The command that reads a compose file: docker's plugin, or the program that preceded it."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], capture_output=True).returncode
        ):
            return command
    return pytest.skip("there is no docker compose here; Debian: apt-get install docker-compose")


@pytest.mark.slow
def test_compose_reads_the_same_services(tmp_path: Path) -> None:
    """`docker compose config` accepts the file with nothing set, and reads the same services as
    these tests."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("IMGRID_")
    }
    nothing = tmp_path / "nothing.env"
    nothing.touch()
    process = subprocess.run(
        [*compose_command(), "--file", str(COMPOSE), "--env-file", str(nothing), "config"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert process.returncode == 0, process.stderr
    services = yaml.safe_load(process.stdout)["services"]
    assert services.keys() == SERVICES.keys()
    for name, service in services.items():
        assert service.get("environment") == SERVICES[name].get("environment")
        assert (service["read_only"], service["healthcheck"]["test"]) == (
            True,
            SERVICES[name]["healthcheck"]["test"],
        )


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened(name: str) -> None:
    """Every service has a read-only root, no capabilities, no way to gain any, and a health
    check."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_every_services_image_is_pinned(name: str) -> None:
    """No service runs the newest version of an image, and no image is built twice under one tag."""
    assert re.fullmatch(r"imgrid-gateway:local|redis:\d+\.\d+-[a-z]+", SERVICES[name]["image"])
    assert [each for each in SERVICES if "build" in SERVICES[each]] == [GATEWAYS[0]]


def test_gateways_differ_only_in_their_ports() -> None:
    """Both gateways have one image and one configuration, and so one Redis; each has a port on
    loopback only."""
    first, second = (
        {k: v for k, v in SERVICES[name].items() if k not in {"ports", "build"}}
        for name in GATEWAYS
    )
    assert first == second
    assert [SERVICES[name]["ports"] for name in GATEWAYS] == [
        ["127.0.0.1:8080:8080"],
        ["127.0.0.1:8081:8080"],
    ]
    assert yaml.safe_load(CONFIG.read_text())["redis"] == "redis://redis:6379/0"
    assert first["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_redis_keeps_every_accepted_change() -> None:
    """Redis writes every change to a file on a volume, and refuses changes instead of dropping data
    when it is full."""
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "everysec"
    assert options["--maxmemory-policy"] == "noeviction"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_gateways_refuse_before_redis_is_full() -> None:
    """All the photos that both gateways would hold leave Redis a tenth of its memory."""
    command = SERVICES["redis"]["command"]
    room = re.fullmatch(r"(\d+)gb", command[command.index("--maxmemory") + 1])
    held = len(GATEWAYS) * yaml.safe_load(CONFIG.read_text())["buffer"]["max_bytes"]
    assert held < 0.9 * int(room[1]) * 2**30


def test_redis_is_out_of_reach() -> None:
    """Redis publishes no port, is on an internal network only, and does not run as root."""
    assert "ports" not in SERVICES["redis"]
    assert SERVICES["redis"]["networks"] == ["store"]
    assert compose()["networks"]["store"] == {"internal": True}
    assert int(SERVICES["redis"]["user"]) > 0


def gateway_environment(**values: str) -> dict[str, str]:
    """The environment of a gateway, with these variables set for the compose file."""
    environment: dict[str, str] = compose(values)["services"]["gateway-a"]["environment"]
    return environment


@pytest.mark.parametrize("key", ["demo", "f00d-Cafe", "0123456"])
def test_one_variable_sets_the_demo_key(key: str) -> None:
    """IMGRID_KEY is the demo tenant's key and secret, even if it is all digits; unset, both are
    `demo`."""
    values = {} if key == "demo" else {"IMGRID_KEY": key}
    (tenant,) = settings.read(CONFIG, gateway_environment(**values)).tenants
    native, pair = tenant.keys
    assert (native.key.get_secret_value(), pair.secret_key.get_secret_value()) == (key, key)


def test_gateways_have_time_to_finish() -> None:
    """A stopped gateway has as much time as its last photo may take, before it is killed."""
    config = settings.read(CONFIG, gateway_environment())
    longest_s = (
        max(route.deadline_ms for route in config.routes) / 1000
        + config.limits.body_timeout_ms / 1000
        + config.drain_ms / 1000
        + CLOSING_S
    )
    assert seconds(SERVICES["gateway-a"]["stop_grace_period"]) > longest_s


# -- both, run


class ImageFolders(NamedTuple):
    """Folders that stand for those of an image."""

    root: Path

    def inside(self, text: str) -> str:
        """A text with paths here for those within the image, and with this process's user for the
        image's."""
        here = re.sub(r"(?<![\w./-])/(opt|src|data|etc)\b", rf"{self.root}/\1", text)
        return re.sub(r"\b10001\b", str(os.getuid()), here)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of ENV, with this machine's PATH behind theirs, and nothing else of this
        machine."""
        pairs = dict(each.split("=", 1) for each in shlex.split(self.inside(only("ENV").rest)))
        return pairs | {
            "PATH": pairs["PATH"].replace("$PATH", os.defpath),
            "TMPDIR": str(self.root / "tmp"),
        }

    def files(self) -> dict[Path, tuple[int, int]]:
        """Every file outside /tmp, with its size and the time of its last change."""
        paths = (
            path
            for path in self.root.rglob("*")
            if path.is_file() and self.root / "tmp" not in path.parents
        )
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def copy(line: Instruction, folder: Path) -> None:
    """Does a COPY from the build context into the working folder."""
    *sources, target = line.words
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(
                ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / source, folder / target)


def run(line: Instruction, image: ImageFolders, folder: Path) -> None:
    """Does a RUN by the shell, in which `python` is the Python of this test; skips the test where
    no package registry can be reached."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PIP_RETRIES": "1"}
    command = ["sh", "-ec", image.inside(line.rest)]
    process = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode and OFFLINE.search(process.stderr + process.stdout):
        pytest.skip("no package registry can be reached")
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="module")
def image_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageFolders]:
    """The image's folders after all steps of the Dockerfile."""
    if sys.platform == "win32":
        pytest.skip("the steps are those of a Unix")
    folders = ImageFolders(tmp_path_factory.mktemp("image"))
    folder = folders.root
    for name in ("opt", "src", "etc/imgrid", "tmp"):
        (folders.root / name).mkdir(parents=True)
    for line in LINES:
        if line.word == "WORKDIR":
            folder = Path(folders.inside(line.rest))
            assert folder.is_dir()
        elif line.word == "COPY" and not line.flags:
            copy(line, folder)
        elif line.word == "RUN":
            run(line, folders, folder)
    shutil.rmtree(folders.root / "src")
    yield folders
    shutil.rmtree(folders.root)  # half a gigabyte


def test_every_shared_library_is_there(image_folders: ImageFolders) -> None:
    """The installed packages need no shared library but their own and the base image's."""
    if sys.platform != "linux":
        pytest.skip("wheels of another system")
    libraries = sorted(path for path in image_folders.root.rglob("*.so*") if path.is_file())
    listing = subprocess.run(
        [tool("ldd"), *map(str, libraries)], capture_output=True, text=True, check=False
    )
    libraries_needed = {
        line.split()[0]
        for line in listing.stdout.splitlines()
        if "=>" in line and str(image_folders.root) not in line
    }
    assert libraries_needed
    assert {name for name in libraries_needed if not BASE_LIBRARIES.match(Path(name).name)} == set()


def wait_until_ready(
    ready: Callable[[], bool], process: subprocess.Popen[str], within_s: float = 60.0
) -> None:
    """Returns once the process is ready; fails if it ends before that."""
    end = time.monotonic() + within_s
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def running(command: Sequence[str], ready: Callable[[], bool], **options: Any) -> Iterator[None]:
    """A process, once it is ready. It is stopped by SIGTERM, and must end without an error."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    ) as process:
        try:
            wait_until_ready(ready, process)
            yield
            process.terminate()
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0, output
        finally:
            process.kill()


def answers(port: int) -> bool:
    """Whether something listens on the port."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis started by the compose file's own command, or `null` where no Redis is
    installed."""
    if not shutil.which("redis-server"):
        yield "null"
        return
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    with running([*SERVICES["redis"]["command"], *options], lambda: answers(port)):
        yield f"redis://127.0.0.1:{port}/0"


def photo() -> bytes:
    """A photo with a line of text."""
    picture = Image.new("RGB", (400, 160), "white")
    ImageDraw.Draw(picture).text((30, 50), "PLATFORM 42", "black", ImageFont.load_default(48))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def ask(port: int, key: str) -> tuple[int, str]:
    """Status and answer for a photo that is sent with a key."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(
            "POST", "/v1/detect?task=text", photo(), {"Authorization": f"Bearer {key}"}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_the_installed_gateway_answers(image_folders: ImageFolders, redis: str) -> None:
    """Installed and started as in the image, the gateway is healthy and ready by the health checks'
    own commands, reads a photo for the holder of the key only, stops when told to, and writes to
    /tmp only."""
    shutil.copy(CONFIG, image_folders.root / "etc/imgrid")
    port = free_port()
    variables = {"IMGRID_LISTEN": f"127.0.0.1:{port}", "IMGRID_REDIS": redis}
    options = {
        "cwd": image_folders.root / "data",
        "env": image_folders.environment | gateway_environment() | variables,
    }

    def command(program: str, *words: str) -> list[str]:
        return [
            str(image_folders.root / "opt/imgrid/bin" / program),
            *(word.replace("8080", str(port)) for word in words),
        ]

    def status(words: Sequence[str]) -> int:
        return subprocess.run(
            command(*words), **options, capture_output=True, check=False
        ).returncode

    checks = healthcheck(), SERVICES["gateway-a"]["healthcheck"]["test"][1:]
    before = image_folders.files()
    assert [status(check) for check in checks] == [1, 1]
    with running(
        command(*only("ENTRYPOINT").words, *only("CMD").words), lambda: answers(port), **options
    ):
        assert [status(check) for check in checks] == [0, 0]
        status_code, answer = ask(port, "demo")
        assert (status_code, "PLATFORM 42" in answer) == (200, True), answer
        assert ask(port, "another")[0] == 401
    assert image_folders.files() == before
