"""The command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
import yaml
from typer.testing import CliRunner

from gateway.cli import main
from gateway.cli.evaluate_tables import score_table
from gateway.cli.greeting import greeting
from gateway.config.errors import ConfigError
from gateway.quality.collect.photos import LabelledPhotos
from gateway.quality.evaluate import live
from gateway.quality.evaluate.scores import Strategy
from gateway.testing.gateway import parts_of, routing_of
from gateway.testing.pictures import Block, drawn, encoded
from thresholds.cascade import Cascade
from thresholds.variants import ALONE_CASCADE

COMMAND = typer.main.get_command(main.app)
CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [
        {"task": "objects", "provider": "eye", "stages": [{"shape": "3x3"}], "max_wait_ms": 70}
    ],
}
SECRET = {
    **CONFIG,
    "providers": {"eye": {"kind": "rekognition", "access_key": "AKAWS", "secret_key": "sk-aws"}},
    "tenants": [
        {
            "name": "shop",
            "keys": [
                {"dialect": "native", "key": "key-shop"},
                {"dialect": "rekognition", "access_key": "AKSHOP", "secret_key": "sk-shop"},
            ],
        }
    ],
}


def commands(command=COMMAND, path=()):
    """Every command there is, by the words that call it."""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def imgrid(*words, **environment):
    """The command in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGRID_")}
    program = str(Path(sys.executable).with_name("imgrid"))
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=60, env={**clean, **environment}
    )


@pytest.fixture
def config(tmp_path):
    """`config(content)`: the path of such a config file."""

    def write(content):
        file = tmp_path / "imgrid.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    return write


@pytest.mark.parametrize("words", list(commands()), ids=lambda words: " ".join(words) or "imgrid")
def test_help(words):
    """Every command explains itself."""
    result = CliRunner().invoke(main.app, [*words, "--help"])
    assert result.exit_code == 0
    assert "Usage" in click.unstyle(result.output)


@pytest.mark.parametrize("package", ["fastapi", "numpy", "PIL", "pydantic"])
def test_the_help_imports_nothing_heavy(package):
    """Help for the command is shown without the packages that take long to import."""
    program = (
        "import sys; from gateway.cli.main import main\n"
        "try: main()\n"
        f"finally: print({package!r} in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"], capture_output=True, text=True, timeout=60
    )
    assert "Usage" in click.unstyle(done.stdout)
    assert done.stdout.splitlines()[-1] == "False"


def test_bad_config(config):
    """A configuration that cannot be used is one message on stderr and status 2, without a
    traceback."""
    file = config({**CONFIG, "listn": 1})
    done = imgrid("serve", "--config", str(file))
    assert done.returncode == 2
    assert f"{file}: listn: unknown key (did you mean listen?)" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_missing_config(tmp_path):
    """So is one that is not there; its place can come from the environment."""
    done = imgrid("config", "show", IMGRID_CONFIG=str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert "none.yaml" in done.stderr
    assert "imgrid config example" in done.stderr


def test_show(config):
    """`imgrid config show` prints what is in force, defaults included, as YAML that can be read
    back."""
    result = CliRunner().invoke(
        main.app, ["config", "show", "-c", str(config(CONFIG))], env={"IMGRID_THREADS": "3"}
    )
    shown = yaml.safe_load(result.output)
    assert shown["threads"] == 3
    assert shown["listen"] == "127.0.0.1:8080"
    assert shown["providers"]["eye"]["canvas"] == "1280x1280"
    assert shown["routes"][0]["stages"][0]["shape"] == "3x3"


def test_secrets(config):
    """It masks secrets: those of tenants and those of providers."""
    result = CliRunner().invoke(main.app, ["config", "show", "-c", str(config(SECRET))])
    assert result.exit_code == 0
    for secret in ("key-shop", "sk-shop", "sk-aws"):
        assert secret not in result.output
    assert result.output.count("**********") == 3
    assert "AKSHOP" in result.output


def test_example():
    """`imgrid config example` prints the packaged example."""
    result = CliRunner().invoke(main.app, ["config", "example"])
    assert (
        result.output.strip() == (Path(main.__file__).parent / "example.yaml").read_text().strip()
    )


def test_greeting(tmp_path):
    """The greeting names address, tasks, providers and shapes, says that it is open, and shows what
    to try."""
    text = greeting(parts_of(tmp_path, CONFIG), "http://127.0.0.1:1")
    for word in ("http://127.0.0.1:1", "objects", "eye (shapes)", "3x3", "70 ms", "open"):
        assert word in text
    assert "curl --data-binary @photo.jpg 'http://127.0.0.1:1/v1/detect?task=objects'" in text
    assert "boto3.client('rekognition', endpoint_url='http://127.0.0.1:1'" in text
    assert "detect_labels" in text


def test_greeting_with_tenants(tmp_path):
    """With tenants it names them and not their keys, and what to try has places for them."""
    text = greeting(parts_of(tmp_path, SECRET), "http://127.0.0.1:1")
    assert "Tenants: shop" in text
    assert "Authorization: Bearer KEY" in text
    assert "aws_access_key_id='ACCESS_KEY'" in text
    for secret in ("key-shop", "sk-shop", "sk-aws", "AKSHOP"):
        assert secret not in text


async def test_greeting_with_grpc(tmp_path):
    """Where Google's clients are served by gRPC it names the address, and whether they need TLS."""
    parts = parts_of(tmp_path, {**CONFIG, "grpc": {"listen": "127.0.0.1:0"}})
    async with parts.grpc.serving(0):
        text = greeting(parts, "http://127.0.0.1:1")
    assert re.search(
        r"gRPC for Google's clients on \[bold\]127\.0\.0\.1:[1-9]\d*\[/\] \(no TLS\)", text
    )


class TestProfile:
    CONFIG = (
        "providers: {eye: {kind: shapes, usd_per_image: 0.5}}\n"
        "routes: [{task: objects, provider: eye, stages: [{shape: 1x1}]}]\n"
    )

    @pytest.fixture
    def profile(self, tmp_path):
        """`profile(answer, *options)`: the command over four photos, and what it printed."""
        (tmp_path / "imgrid.yaml").write_text(self.CONFIG)
        (tmp_path / "photos").mkdir()
        for number in range(4):
            image = drawn((120, 90), Block("red", 10, 10, 60 + 5 * number, 60))
            (tmp_path / f"photos/{number}.png").write_bytes(encoded(image))

        def run(answer, *options):
            places = [
                "-c",
                str(tmp_path / "imgrid.yaml"),
                "--photos",
                str(tmp_path / "photos"),
                "--out",
                str(tmp_path / "out"),
            ]
            wanted = ["--shapes", "1x1,2x2", "--groupings", "1", "--cascade", "2x2,1x1"]
            return CliRunner().invoke(
                main.app, ["profile", *places, *wanted, *options], input=answer
            )

        return run

    def test_price_first(self, profile, tmp_path):
        """It names the price and spends nothing until that is agreed to."""
        result = profile("n\n")
        assert "5 images to ask eye about" in result.output
        assert "2.50 USD" in result.output
        assert result.exit_code == 1
        assert not (tmp_path / "out/responses.jsonl").exists()

    def test_agreed(self, profile, tmp_path):
        """When it is, a cascade is written, and the same again costs nothing and asks nothing."""
        assert profile("y\n").exit_code == 0
        assert (tmp_path / "out/cascade-2x2-1x1.json").exists()
        again = profile("", "--factor", "0.5")
        assert again.exit_code == 0
        assert "nothing to pay" in again.output

    def test_cascade_by_default(self, profile, tmp_path):
        """Where no cascade is named, one is written of the coarsest shape asked, and 1x1 after
        it."""
        profile("n\n")
        places = [
            "-c",
            str(tmp_path / "imgrid.yaml"),
            "--photos",
            str(tmp_path / "photos"),
            "--out",
            str(tmp_path / "new"),
        ]
        result = CliRunner().invoke(
            main.app, ["profile", *places, "--shapes", "2x1,2x2,1x1", "--yes"]
        )
        assert result.exit_code == 0
        assert [file.name for file in (tmp_path / "new").glob("cascade-*")] == [
            "cascade-2x2-1x1.json"
        ]

    def test_photos_are_needed(self):
        """Without photos it says so, and does nothing."""
        result = CliRunner().invoke(main.app, ["profile"])
        assert result.exit_code == 2
        assert "--photos" in result.output

    def test_show(self, profile, tmp_path):
        """`profile show` draws what a profile measured, and names the page."""
        assert profile("y\n").exit_code == 0
        result = CliRunner().invoke(main.app, ["profile", "show", str(tmp_path / "out")])
        assert result.exit_code == 0
        assert "out/report/report.html" in result.output
        assert (tmp_path / "out/report/report.html").exists()

    def test_prices_are_summed(self, profile):
        """Where several things are asked, each has its price and all together theirs."""
        result = profile("n\n", "--probe")
        assert (
            "in canvases of 320x320 (0 of 1 are paid for already): about 0.50 USD" in result.output
        )
        assert "in all: about 7.50 USD" in result.output


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        (
            "moderation",
            ["--companion", "eye", "--probe"],
            "--companion, --probe: of tasks with boxes",
        ),
        ("moderation", ["--cascade", "2x2,1x1"], "--cascade: of tasks with boxes"),
        ("objects", ["--recall", "0.9"], "--recall: of moderation and labels"),
    ],
)
def test_profile_options_of_the_other_kind(config, tmp_path, task, options, said):
    """An option that the route's task has no use for is refused, not passed over."""
    route = {"task": task, "provider": "eye", "stages": [{"shape": "1x1"}]}
    eye = {"kind": "rekognition", "access_key": "a", "secret_key": "b"}
    file = config({"providers": {"eye": eye}, "routes": [route]})
    asked = ["profile", "--photos", str(tmp_path), "--route", task, "-c", str(file), *options]
    result = CliRunner().invoke(main.app, asked)
    assert isinstance(result.exception, ConfigError)
    assert said in str(result.exception)


@pytest.mark.parametrize(
    "words", [["plan", "--save", "0.5"], ["profile", "show"], ["evaluate", "--profile"]]
)
def test_profiles_of_whole_pictures(tmp_path, words):
    """There is nothing to plan, replay or draw of a profile of moderation; the message says why."""
    result = CliRunner().invoke(main.app, [*words, str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "of moderation and labels it writes the cascade itself" in str(result.exception)


def test_evaluate_listed(config, tmp_path):
    """A route for listed labels is not tried: photos would come without a list, and each be asked
    about alone."""
    rule = {"kind": "clean", "threshold": 0.1}
    route = {
        "task": "labels",
        "provider": "eye",
        "labels": "listed",
        "stages": [{"shape": "2x1", "rule": rule}, {"shape": "1x1"}],
    }
    eye = {"kind": "rekognition", "access_key": "a", "secret_key": "b"}
    (tmp_path / "one.png").write_bytes(encoded(drawn((96, 96))))
    file = config({"providers": {"eye": eye}, "routes": [route]})
    result = CliRunner().invoke(
        main.app, ["evaluate", "--photos", str(tmp_path), "--route", "labels", "-c", str(file)]
    )
    assert isinstance(result.exception, ConfigError)
    assert "route labels is for clients that name labels" in str(result.exception)


class TestEvaluate:
    CONFIG = (
        "providers: {eye: {kind: shapes, usd_per_image: 0.5}}\n"
        "routes: [{task: objects, provider: eye, stages: [{shape: 2x2}], max_wait_ms: 500}]\n"
    )

    @pytest.fixture
    def evaluate(self, tmp_path):
        """`evaluate(answer, *options)`: the command over eight photos, each of one red block, and
        what it printed."""
        (tmp_path / "imgrid.yaml").write_text(self.CONFIG)
        (tmp_path / "photos").mkdir()
        images, boxes = [], []
        for number in range(8):
            side = 50 + 4 * number
            image = drawn((120, 90), Block("red", 10, 10, 10 + side, 10 + side // 2))
            (tmp_path / f"photos/{number}.png").write_bytes(encoded(image))
            images.append({"id": number, "file_name": f"{number}.png", "width": 120, "height": 90})
            boxes.append(
                {
                    "id": number + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [10, 10, side, side // 2],
                }
            )
        truth = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "red"}]}
        (tmp_path / "truth.json").write_text(json.dumps(truth))

        def run(answer, *options):
            places = ["-c", str(tmp_path / "imgrid.yaml"), "--photos", str(tmp_path / "photos")]
            return CliRunner().invoke(main.app, ["evaluate", *places, *options], input=answer)

        return run

    def rows(self, result):
        """The table's rows, by strategy."""
        lines = result.output[result.output.index("strategy") :].splitlines()[2:]
        return {
            name: rest
            for name, *rest in (re.split(r"  +", line.strip()) for line in lines if line.strip())
        }

    def test_price_first(self, evaluate):
        """It names what it may cost in full canvases, and asks nothing until that is agreed to."""
        result = evaluate("n\n")
        assert "about 10 images to ask eye about" in result.output
        assert "5.00 USD" in result.output
        assert result.exit_code == 1
        assert "strategy" not in result.output

    def test_table(self, evaluate, tmp_path):
        """Each strategy is a row: what it billed a photo, what that saves, and its precision next
        to 1x1."""
        (tmp_path / "two.json").write_text('{"stages": [{"shape": "2x1"}]}')
        result = evaluate(
            "",
            "--yes",
            "--truth",
            str(tmp_path / "truth.json"),
            "--cascade",
            str(tmp_path / "two.json"),
        )
        assert result.exit_code == 0, result.output
        rows = self.rows(result)
        assert [rows[name][0] for name in ("1x1", "objects: 2x2", "two")] == [
            "1.000",
            "0.250",
            "0.500",
        ]
        assert rows["1x1"][1] == "0.0%"
        assert rows["objects: 2x2"][1] == "75.0%"
        assert {row[3] for row in rows.values()} == {"+0.000"}

    def test_no_truth(self, evaluate):
        """Without ground truth it tells agreement with the answers alone, and no precision."""
        result = evaluate("y\n")
        assert "AP50" not in result.output
        assert self.rows(result)["objects: 2x2"] == ["0.250", "75.0%", "1.000"]

    def test_leaves_nothing(self, evaluate, tmp_path):
        """It touches nothing of a gateway that may run beside: no jobs, no buffer."""
        before = set(tmp_path.iterdir())
        assert evaluate("y\n").exit_code == 0
        assert set(tmp_path.iterdir()) >= before
        assert not list(tmp_path.glob("*.sqlite3*"))

    def test_other_providers(self, evaluate, tmp_path):
        """A stage is priced at what its own provider takes, in the quote and in what was billed."""
        (tmp_path / "imgrid.yaml").write_text(
            self.CONFIG.replace("}}\n", "}, far: {kind: shapes, usd_per_image: 2}}\n")
        )
        (tmp_path / "far.json").write_text('{"stages": [{"shape": "2x1", "provider": "far"}]}')
        result = evaluate("y\n", "--cascade", str(tmp_path / "far.json"))
        assert "about 10 images to ask eye about: about 5.00 USD" in result.output
        assert "about 4 images to ask far about: about 8.00 USD" in result.output
        assert "in all: about 13.00 USD" in result.output
        assert self.rows(result)["far"][:2] == ["2.000", "-100.0%"]

    def test_companion(self, evaluate, tmp_path):
        """A companion is free."""
        config = self.CONFIG.replace("}}\n", "}, det: {kind: shapes, usd_per_image: 2}}\n")
        (tmp_path / "imgrid.yaml").write_text(
            config.replace("provider: eye", "provider: eye, companion: det")
        )
        stages = [{"shape": "1x1", "provider": "det", "rule": {"kind": "onward"}}, {"shape": "2x1"}]
        (tmp_path / "det.json").write_text(json.dumps({"stages": stages}))
        result = evaluate("y\n", "--cascade", str(tmp_path / "det.json"))
        assert "about 14 images to ask eye about: about 7.00 USD" in result.output
        assert "ask det" not in result.output
        assert self.rows(result)["det"][0] == "0.500"

    def test_before_paying(self, evaluate, tmp_path):
        """A cascade that does not fit the route is named before anything is paid."""
        (tmp_path / "far.json").write_text('{"stages": [{"shape": "2x1", "provider": "far"}]}')
        result = evaluate("y\n", "--cascade", str(tmp_path / "far.json"))
        assert isinstance(result.exception, main.ConfigError)
        assert re.search(
            r"--cascade .*far\.json: .*there is no provider 'far'", str(result.exception)
        )
        assert "USD" not in result.output

    def test_whole_cascade(self, tmp_path):
        """What is tried is the whole cascade, with its fusion and its border, whatever the route
        says of its own."""
        fusion = {"labels": ["red"], "weights": [1.0], "rescore": {}}
        content = {
            "stages": [{"shape": "2x2"}],
            "merge": "fuse",
            "border": "black",
            "fusion": fusion,
        }
        cascade = Cascade.model_validate(content)
        routing = routing_of(
            tmp_path, {**CONFIG, "routes": [{**CONFIG["routes"][0], "crossing": "discard"}]}
        )
        made = live.build(routing, 0, Strategy("some", cascade))
        assert made.routes["objects"].cascade == cascade

    def test_photos_are_needed(self):
        """Without photos or a profile it says so, and does nothing."""
        result = CliRunner().invoke(main.app, ["evaluate"])
        assert result.exit_code == 2
        assert "--photos" in click.unstyle(result.output)

    def test_failed(self):
        """Photos without an answer are told of by strategy, and not counted among those that cost
        so much each."""
        strategy = Strategy("4x4", ALONE_CASCADE)
        result = live.StrategyResult({"a": []}, billed=0.5, failed=2)
        table = score_table(live.score_table([(strategy, result)], LabelledPhotos({}, {})))
        assert table.caption == "photos without an answer: 2 of 4x4"
        assert result.per_photo == 0.5

    def test_bad_cascade(self, evaluate, tmp_path):
        """A cascade that cannot be read is named."""
        result = evaluate("y\n", "--cascade", str(tmp_path / "none.json"))
        assert isinstance(result.exception, main.ConfigError)
        assert "none.json" in str(result.exception)
