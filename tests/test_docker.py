"""The image and the compose file are what docs/docker.md says, shown without a container engine.

Everywhere: both files are read and held to the rules, the compose file also to the Compose
specification's schema. With hadolint, redis-server, a package registry or `docker compose` at hand:
also by these; without one, its test is skipped and says so. The Dockerfile's steps run in folders
of the test's own instead of those of an image.
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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont

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
"""What Debian's smallest image has, and with it every slim Python: libc6, libgcc-s1, libstdc++6 and
zlib1g."""

OFFLINE = re.compile(
    r"(?i)failed to (establish a new connection|connect|resolve)|unable to connect|timed out"
)
"""What pip says where it reaches no package registry."""


class Line(NamedTuple):
    """One instruction of a Dockerfile: which stage it is in, from 0, its flags (`--from=build`),
    and the rest."""

    stage: int
    word: str
    flags: tuple[str, ...]
    rest: str

    @property
    def words(self):
        """The rest as a list: of JSON where it is that, else as a shell would part it."""
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)


def dockerfile():
    """Its instructions in order; comments are left out and continued lines joined, as the builder
    does."""
    text = "\n".join(
        line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")
    )
    stage = -1
    for line in filter(None, map(str.strip, text.replace("\\\n", " ").splitlines())):
        word, rest = line.split(maxsplit=1)
        flags = re.match(r"(--\S+\s+)*", rest)[0]
        stage += word == "FROM"
        yield Line(stage, word, tuple(flags.split()), re.sub(r"\s+", " ", rest[len(flags) :]))


LINES = tuple(dockerfile())
FINAL = [line for line in LINES if line.stage == LINES[-1].stage]


def only(word, lines=FINAL):
    """The one instruction of its kind in the final stage."""
    (line,) = (line for line in lines if line.word == word)
    return line


def compose(environment=None):
    """The compose file as Compose reads it: merge keys applied and `${NAME:-default}` filled in."""
    given = environment or {}
    text = re.sub(
        r"\$\{(\w+):-(\w*)\}", lambda found: given.get(found[1]) or found[2], COMPOSE.read_text()
    )
    assert "${" not in text
    return yaml.safe_load(text)


SERVICES = compose()["services"]


def seconds(duration):
    assert re.fullmatch(r"\d+s", duration)
    return int(duration[:-1])


def tool(name):
    """Where a command is, next to this Python or on the PATH."""
    found = shutil.which(
        name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    return found or pytest.skip(f"there is no {name} here")


# -- the Dockerfile, read


def test_dockerfile_has_no_lint() -> None:
    """hadolint finds nothing in the Dockerfile."""
    ran = subprocess.run(
        [tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "")


def test_base_images_are_pinned() -> None:
    """Every stage begins from one and the same slim image of a Python version that the project
    supports."""
    (image,) = {line.rest.split()[0] for line in LINES if line.word == "FROM"}
    version = re.fullmatch(r"python:(3\.\d+)-slim-[a-z]+", image)[1]
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {version}" in about["classifiers"]


def test_final_stage_has_no_build_tools() -> None:
    """What the first stage builds is copied, without pip, into the last, which installs nothing
    itself."""
    assert "--without-pip" in " ".join(
        line.rest for line in LINES if line.word == "RUN" and line.stage == 0
    )
    assert [line.flags for line in FINAL if line.word in {"COPY", "ADD"}] == [("--from=build",)]
    assert not re.search(
        r"\b(pip|apt-get|apt|gcc|curl|wget)\b", " ".join(line.rest for line in FINAL)
    )


def test_image_is_not_root() -> None:
    """The image runs as a numeric user that is not root, the last user that the Dockerfile
    names."""
    user, group = only("USER").rest.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_image_says_how_it_is_run() -> None:
    """The image starts `imgrid serve`, stops by SIGTERM, names its port, and asks itself without
    curl."""
    assert only("ENTRYPOINT").words + only("CMD").words == ["imgrid", "serve"]
    assert (only("STOPSIGNAL").rest, only("EXPOSE").rest) == ("SIGTERM", "8080")
    assert healthcheck()[:2] == ["python", "-c"]


def healthcheck():
    """The command of the image's HEALTHCHECK."""
    return json.loads(only("HEALTHCHECK").rest.removeprefix("CMD "))


def test_image_installs_the_extras_there_are() -> None:
    """The extras that the image installs are extras of the project; text, Redis and AWS keys are
    among them."""
    named = re.search(r"'\.\[([\w,]+)\]'", " ".join(line.rest for line in LINES))[1].split(",")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {"ocr", "redis", "rekognition"} <= set(named) <= set(extras)


def test_build_context_is_what_the_dockerfile_copies() -> None:
    """.dockerignore lets through what the Dockerfile copies and nothing else."""
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    copied = {
        name for line in LINES if line.word == "COPY" and not line.flags for name in line.words[:-1]
    }
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


# -- the compose file, read


def test_compose_file_fits_the_specification() -> None:
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
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def compose_command():
    """The command that reads a compose file: docker's plugin, or the program that was before it."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], capture_output=True).returncode
        ):
            return command
    return pytest.skip("there is no docker compose here; Debian: apt-get install docker-compose")


def test_compose_reads_its_file(tmp_path: Path) -> None:
    """`docker compose config` takes the file with nothing set, and reads the same services as these
    tests."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("IMGRID_")
    }
    nothing = tmp_path / "nothing.env"
    nothing.touch()
    ran = subprocess.run(
        [*compose_command(), "--file", str(COMPOSE), "--env-file", str(nothing), "config"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert ran.returncode == 0, ran.stderr
    services = yaml.safe_load(ran.stdout)["services"]
    assert services.keys() == SERVICES.keys()
    for name, service in services.items():
        assert service.get("environment") == SERVICES[name].get("environment")
        assert (service["read_only"], service["healthcheck"]["test"]) == (
            True,
            SERVICES[name]["healthcheck"]["test"],
        )


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_hardened(name: str) -> None:
    """Every service has a read-only root, no capabilities, no way to gain any, and a health
    check."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    """No service runs whatever is newest, and no image is built twice under one tag."""
    assert re.fullmatch(r"imgrid-gateway:local|redis:\d+\.\d+-[a-z]+", SERVICES[name]["image"])
    assert [each for each in SERVICES if "build" in SERVICES[each]] == [GATEWAYS[0]]


def test_gateways_are_alike_but_for_their_ports() -> None:
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


def test_redis_keeps_what_it_took() -> None:
    """Redis writes every change to a file on a volume, and refuses rather than drops when it is
    full."""
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
    """Redis publishes no port and is on an internal network only, and runs as no root."""
    assert "ports" not in SERVICES["redis"]
    assert SERVICES["redis"]["networks"] == ["store"]
    assert compose()["networks"]["store"] == {"internal": True}
    assert int(SERVICES["redis"]["user"]) > 0


def gateway_environment(**given):
    return (
        SERVICES["gateway-a"]["environment"]
        if not given
        else compose(given)["services"]["gateway-a"]["environment"]
    )


@pytest.mark.parametrize("key", ["demo", "f00d-Cafe", "0123456"])
def test_one_variable_is_the_key(key: str) -> None:
    """IMGRID_KEY is the demo tenant's key and secret, also where it is all digits; unset, both are
    `demo`."""
    given = {} if key == "demo" else {"IMGRID_KEY": key}
    (tenant,) = settings.read(CONFIG, gateway_environment(**given)).tenants
    native, pair = tenant.keys
    assert (native.key.get_secret_value(), pair.secret_key.get_secret_value()) == (key, key)


def test_gateways_have_time_to_finish() -> None:
    """A gateway that is stopped has as long as its last photo may take, before it is killed."""
    read = settings.read(CONFIG, gateway_environment())
    longest_s = (
        max(route.deadline_ms for route in read.routes) / 1000 + read.limits.body_timeout_ms / 1000
    )
    assert seconds(SERVICES["gateway-a"]["stop_grace_period"]) > longest_s


# -- both, run


class Place(NamedTuple):
    """Folders that stand for those of an image."""

    root: Path

    def inside(self, text):
        """Paths within the image as paths here, and the image's user as whoever runs this."""
        moved = re.sub(r"(?<![\w./-])/(opt|src|data|etc)\b", rf"{self.root}/\1", text)
        return re.sub(r"\b10001\b", str(os.getuid()), moved)

    @property
    def environment(self):
        """What ENV sets, the PATH of this machine behind it, and nothing else of this machine."""
        pairs = dict(each.split("=", 1) for each in shlex.split(self.inside(only("ENV").rest)))
        return pairs | {
            "PATH": pairs["PATH"].replace("$PATH", os.defpath),
            "TMPDIR": str(self.root / "tmp"),
        }

    def files(self):
        """Every file outside /tmp, with its size and when it was last written."""
        found = (
            path
            for path in self.root.rglob("*")
            if path.is_file() and self.root / "tmp" not in path.parents
        )
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def copy(line, folder):
    """A COPY from the build context into the working folder."""
    *sources, target = line.words
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(
                ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / source, folder / target)


def run(line, place, folder):
    """A RUN by the shell, where `python` is that which runs this; skips where packages cannot be
    had."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PIP_RETRIES": "1"}
    command = ["sh", "-ec", place.inside(line.rest)]
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode and OFFLINE.search(ran.stderr + ran.stdout):
        pytest.skip("no package registry can be reached")
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The image's folders after each step of the Dockerfile was taken in turn."""
    if sys.platform == "win32":
        pytest.skip("the steps are those of a Unix")
    made = Place(tmp_path_factory.mktemp("image"))
    folder = made.root
    for name in ("opt", "src", "etc/imgrid", "tmp"):
        (made.root / name).mkdir(parents=True)
    for line in LINES:
        if line.word == "WORKDIR":
            folder = Path(made.inside(line.rest))
            assert folder.is_dir()
        elif line.word == "COPY" and not line.flags:
            copy(line, folder)
        elif line.word == "RUN":
            run(line, made, folder)
    shutil.rmtree(made.root / "src")
    yield made
    shutil.rmtree(made.root)  # half a gigabyte


def test_every_library_is_there(place: Any) -> None:
    """What is installed needs no shared library that is neither its own nor the base image's, so
    none is added."""
    if sys.platform != "linux":
        pytest.skip("wheels of another system")
    libraries = sorted(path for path in place.root.rglob("*.so*") if path.is_file())
    asked = subprocess.run(
        [tool("ldd"), *map(str, libraries)], capture_output=True, text=True, check=False
    )
    needed = {
        line.split()[0]
        for line in asked.stdout.splitlines()
        if "=>" in line and str(place.root) not in line
    }
    assert needed
    assert {name for name in needed if not BASE_LIBRARIES.match(Path(name).name)} == set()


def until(ready, process, within_s=60.0):
    """Waits until something holds, as long as the process lives."""
    end = time.monotonic() + within_s
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def running(command, ready, **how):
    """A process, once it is ready; stopped by SIGTERM, and by then it must end by itself without an
    error."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how
    ) as process:
        try:
            until(ready, process)
            yield
            process.terminate()
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0, output
        finally:
            process.kill()


def answers(port):
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis started by the compose file's own command; where there is no Redis,
    none is used."""
    if not shutil.which("redis-server"):
        yield "null"
        return
    port = free_port()
    here = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    with running([*SERVICES["redis"]["command"], *here], lambda: answers(port)):
        yield f"redis://127.0.0.1:{port}/0"


def photo():
    picture = Image.new("RGB", (400, 160), "white")
    ImageDraw.Draw(picture).text((30, 50), "PLATFORM 42", "black", ImageFont.load_default(48))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def ask(port, key):
    """Status and answer of a photo that is sent with a key."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as door:
        door.request("POST", "/v1/detect?task=text", photo(), {"Authorization": f"Bearer {key}"})
        answer = door.getresponse()
        return answer.status, answer.read().decode()


def test_what_the_image_starts_answers(place: Any, redis: str) -> None:
    """Installed and started as in the image, the gateway is healthy and ready by the health checks'
    own commands, reads a photo for who has the key and for nobody else, stops when told to, and
    writes nothing but to /tmp."""
    shutil.copy(CONFIG, place.root / "etc/imgrid")
    port = free_port()
    own = {"IMGRID_LISTEN": f"127.0.0.1:{port}", "IMGRID_REDIS": redis}
    how = {"cwd": place.root / "data", "env": place.environment | gateway_environment() | own}

    def command(program, *words):
        return [
            str(place.root / "opt/imgrid/bin" / program),
            *(word.replace("8080", str(port)) for word in words),
        ]

    def status(words):
        return subprocess.run(command(*words), **how, capture_output=True, check=False).returncode

    checks = healthcheck(), SERVICES["gateway-a"]["healthcheck"]["test"][1:]
    before = place.files()
    assert [status(check) for check in checks] == [1, 1]
    with running(
        command(*only("ENTRYPOINT").words, *only("CMD").words), lambda: answers(port), **how
    ):
        assert [status(check) for check in checks] == [0, 0]
        answered, answer = ask(port, "demo")
        assert (answered, "PLATFORM 42" in answer) == (200, True), answer
        assert ask(port, "another")[0] == 401
    assert place.files() == before
