"""The command line: its help, its configuration, the greeting, profiles and evaluations."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import main
from gateway.cli.evaluate_tables import score_table
from gateway.cli.greeting import greeting
from gateway.config.errors import ConfigError
from gateway.quality.collect.photo_list import PhotoList
from gateway.quality.collect.photos import LabelledPhotos
from gateway.quality.evaluate import live
from gateway.quality.evaluate.scores import Strategy
from gateway.testing.gateway import parts_of, routing_of
from gateway.testing.pictures import Block, drawn, encoded
from thresholds.cascade import Cascade
from thresholds.variants import ALONE_CASCADE

WriteConfig = Callable[[Mapping[str, Any]], Path]
RunCommand = Callable[..., Result]
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


def commands(command: Any = COMMAND, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def imgrid(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, run in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGRID_")}
    program = str(Path(sys.executable).with_name("imgrid"))
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=60, env={**clean, **environment}
    )


@pytest.fixture
def config(tmp_path: Path) -> WriteConfig:
    """`config(content)`: the path of such a config file."""

    def write(content: Mapping[str, Any]) -> Path:
        file = tmp_path / "imgrid.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    return write


@pytest.mark.parametrize("words", list(commands()), ids=lambda words: " ".join(words) or "imgrid")
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    """Every command has a help text."""
    result = CliRunner().invoke(main.app, [*words, "--help"])
    assert result.exit_code == 0
    assert "Usage" in click.unstyle(result.output)


def test_the_help_imports_nothing_heavy() -> None:
    """Help for the command is shown without the packages that take long to import."""
    program = (
        "import sys; from gateway.cli.main import main\n"
        "try: main()\n"
        "finally: print({'fastapi', 'numpy', 'PIL', 'pydantic'} & {*sys.modules})"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, "--help"], capture_output=True, text=True, timeout=60
    )
    assert "Usage" in click.unstyle(process.stdout)
    assert process.stdout.splitlines()[-1] == "set()"


def test_a_bad_config_is_one_message_and_status_2(config: WriteConfig) -> None:
    """A configuration that cannot be used is one message on stderr and status 2, without a
    traceback."""
    file = config({**CONFIG, "listn": 1})
    process = imgrid("serve", "--config", str(file))
    assert process.returncode == 2
    assert f"{file}: listn: unknown key (did you mean listen?)" in process.stderr
    assert "Traceback" not in process.stderr
    assert process.stdout == ""


def test_a_missing_config_is_one_message(tmp_path: Path) -> None:
    """A missing configuration is one message; the environment can say where the file is."""
    process = imgrid("config", "show", IMGRID_CONFIG=str(tmp_path / "none.yaml"))
    assert process.returncode == 2
    assert "none.yaml" in process.stderr
    assert "imgrid config example" in process.stderr


def test_config_show_prints_yaml_with_defaults(config: WriteConfig) -> None:
    """`imgrid config show` prints the effective configuration, defaults included, as YAML that can
    be read back."""
    result = CliRunner().invoke(
        main.app, ["config", "show", "-c", str(config(CONFIG))], env={"IMGRID_THREADS": "3"}
    )
    shown = yaml.safe_load(result.output)
    assert shown["threads"] == 3
    assert shown["listen"] == "127.0.0.1:8080"
    assert shown["providers"]["eye"]["canvas"] == "1280x1280"
    assert shown["routes"][0]["stages"][0]["shape"] == "3x3"


def test_config_show_masks_secrets(config: WriteConfig) -> None:
    """`imgrid config show` masks the secrets of tenants and of providers."""
    result = CliRunner().invoke(main.app, ["config", "show", "-c", str(config(SECRET))])
    assert result.exit_code == 0
    for secret in ("key-shop", "sk-shop", "sk-aws"):
        assert secret not in result.output
    assert result.output.count("**********") == 3
    assert "AKSHOP" in result.output


def test_the_greeting_shows_how_to_try_an_open_gateway(tmp_path: Path) -> None:
    """The greeting names address, tasks, providers and shapes, says that the gateway is open, and
    shows a command to try."""
    text = greeting(parts_of(tmp_path, CONFIG), "http://127.0.0.1:1")
    for word in ("http://127.0.0.1:1", "objects", "eye (shapes)", "3x3", "70 ms", "open"):
        assert word in text
    assert "curl --data-binary @photo.jpg 'http://127.0.0.1:1/v1/detect?task=objects'" in text
    assert "boto3.client('rekognition', endpoint_url='http://127.0.0.1:1'" in text
    assert "detect_labels" in text


def test_the_greeting_says_that_a_route_plans_itself(tmp_path: Path) -> None:
    """Of a route that plans itself the greeting says so, and names the grids that it tries."""
    learn = {"shapes": ["2x1", "3x3"]}
    route = {"task": "objects", "provider": "eye", "cascade": "auto", "save": 0.5, "learn": learn}
    text = greeting(parts_of(tmp_path, {**CONFIG, "routes": [route]}), "http://127.0.0.1:1")
    assert "plans itself (1x1 until then; tries 2x1, 3x3)" in text


def test_the_greeting_names_tenants_but_no_keys(tmp_path: Path) -> None:
    """With tenants the greeting names them but not their keys, and its command has placeholders for
    keys."""
    text = greeting(parts_of(tmp_path, SECRET), "http://127.0.0.1:1")
    assert "Tenants: shop" in text
    assert "Authorization: Bearer KEY" in text
    assert "aws_access_key_id='ACCESS_KEY'" in text
    for secret in ("key-shop", "sk-shop", "sk-aws", "AKSHOP"):
        assert secret not in text


async def test_the_greeting_names_the_grpc_address(tmp_path: Path) -> None:
    """With a gRPC listener the greeting names its address, and whether it needs TLS."""
    parts = parts_of(tmp_path, {**CONFIG, "grpc": {"listen": "127.0.0.1:0"}})
    async with parts.grpc.serving(0):
        text = greeting(parts, "http://127.0.0.1:1")
    assert re.search(
        r"gRPC for Google's clients on \[bold\]127\.0\.0\.1:[1-9]\d*\[/\] \(no TLS\)", text
    )


@pytest.mark.slow
class TestProfile:
    CONFIG = (
        "providers: {eye: {kind: shapes, usd_per_image: 0.5}}\n"
        "routes: [{task: objects, provider: eye, stages: [{shape: 1x1}]}]\n"
    )

    @pytest.fixture
    def profile(self, tmp_path: Path) -> RunCommand:
        """`profile(answer, *options)`: the result of the command over four photos."""
        (tmp_path / "imgrid.yaml").write_text(self.CONFIG)
        (tmp_path / "photos").mkdir()
        for number in range(4):
            image = drawn((120, 90), Block("red", 10, 10, 60 + 5 * number, 60))
            (tmp_path / f"photos/{number}.png").write_bytes(encoded(image))

        def run(answer: str, *options: str) -> Result:
            places = [
                "-c",
                str(tmp_path / "imgrid.yaml"),
                "--photos",
                str(tmp_path / "photos"),
                "--out",
                str(tmp_path / "out"),
            ]
            choices = ["--shapes", "1x1,2x2", "--groupings", "1", "--cascade", "2x2,1x1"]
            return CliRunner().invoke(
                main.app, ["profile", *places, *choices, *options], input=answer
            )

        return run

    def test_it_spends_nothing_before_the_price_is_accepted(
        self, profile: RunCommand, tmp_path: Path
    ) -> None:
        """The command names the price, and spends nothing until the user accepts it."""
        result = profile("n\n")
        assert "5 images to ask eye about" in result.output
        assert "2.50 USD" in result.output
        assert result.exit_code == 1
        assert not (tmp_path / "out/responses.jsonl").exists()

    def test_it_says_first_how_many_photos_a_promise_takes(self, profile: RunCommand) -> None:
        """Before the price the command says how many photos a promise is likely to need, and what
        the missing ones would cost, at one question alone and one at 2x2."""
        for words, drop in (([], "0.02"), (["--max-drop", "0.1"], "0.1")):
            text = " ".join(profile("n\n", *words).output.split())
            outlook = re.search(
                rf"a promise of at most {drop} lost takes about ([\d,]+) photos, and here are 4: "
                r"([\d,]+) more would cost about ([\d,]+) images, ([\d,.]+) USD",
                text,
            )
            assert outlook is not None
            needed, more, images, usd = (float(each.replace(",", "")) for each in outlook.groups())
            assert more == needed - 4
            assert images == pytest.approx(1.25 * more, abs=1)
            assert usd == pytest.approx(0.5 * images, abs=1)
            assert text.index("a promise of") < text.index("5 images to ask")

    def test_it_ends_with_the_command_for_a_plan(self, profile: RunCommand, tmp_path: Path) -> None:
        """At the end the command names the next one, and keeps its own options for later."""
        text = " ".join(profile("y\n", "--max-drop", "0.05").output.split())
        assert f"imgrid plan {tmp_path / 'out'} --max-drop 0.05 --report plan.html" in text
        words = PhotoList.load(tmp_path / "out").words
        assert words[:2] == ("--photos", str(tmp_path / "photos"))
        assert words[-2:] == ("--config", str(tmp_path / "imgrid.yaml"))
        assert "--max-drop" not in words

    def test_it_writes_a_cascade_and_repeats_for_free(
        self, profile: RunCommand, tmp_path: Path
    ) -> None:
        """After the user accepts, the command writes a cascade; a repeat costs nothing and asks
        nothing."""
        assert profile("y\n").exit_code == 0
        assert (tmp_path / "out/cascade-2x2-1x1.json").exists()
        again = profile("", "--factor", "0.5")
        assert again.exit_code == 0
        assert "nothing to pay" in again.output

    def test_the_default_cascade_is_coarsest_shape_then_alone(
        self, profile: RunCommand, tmp_path: Path
    ) -> None:
        """Without a named cascade the command writes one of the coarsest profiled shape, followed
        by 1x1."""
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

    def test_it_needs_photos(self) -> None:
        """Without photos the command says so, and does nothing."""
        result = CliRunner().invoke(main.app, ["profile"])
        assert result.exit_code == 2
        assert "--photos" in result.output

    def test_show_draws_the_profile_and_names_the_page(
        self, profile: RunCommand, tmp_path: Path
    ) -> None:
        """`profile show` draws what a profile measured, and names the page."""
        assert profile("y\n").exit_code == 0
        result = CliRunner().invoke(main.app, ["profile", "show", str(tmp_path / "out")])
        assert result.exit_code == 0
        assert "out/report/report.html" in result.output
        assert (tmp_path / "out/report/report.html").exists()

    def test_several_prices_are_listed_and_summed(self, profile: RunCommand) -> None:
        """Several purchases each have their price, and together the sum."""
        result = profile("n\n", "--probe")
        assert (
            "in canvases of 320x320 (0 of 1 are paid for already): about 0.50 USD" in result.output
        )
        assert "in all: about 9.50 USD" in result.output


@pytest.mark.parametrize(
    ("task", "options", "reason"),
    [
        (
            "moderation",
            ["--floor", "0.2", "--probe"],
            "--floor, --probe: of tasks with boxes",
        ),
        ("moderation", ["--cascade", "2x2,1x1"], "--cascade: of tasks with boxes"),
        ("objects", ["--recall", "0.9"], "--recall: of moderation and labels"),
    ],
)
def test_profile_refuses_options_the_task_has_no_use_for(
    config: WriteConfig, tmp_path: Path, task: str, options: list[str], reason: str
) -> None:
    """An option that the route's task cannot use is refused, not ignored."""
    route = {"task": task, "provider": "eye", "stages": [{"shape": "1x1"}]}
    eye = {"kind": "rekognition", "access_key": "a", "secret_key": "b"}
    file = config({"providers": {"eye": eye}, "routes": [route]})
    words = ["profile", "--photos", str(tmp_path), "--route", task, "-c", str(file), *options]
    result = CliRunner().invoke(main.app, words)
    assert isinstance(result.exception, ConfigError)
    assert reason in str(result.exception)


@pytest.mark.parametrize(
    "words", [["plan", "--save", "0.5"], ["profile", "show"], ["evaluate", "--profile"]]
)
def test_moderation_profiles_cannot_be_planned_replayed_or_shown(
    tmp_path: Path, words: list[str]
) -> None:
    """A profile of moderation cannot be planned, replayed or drawn; the message says why."""
    result = CliRunner().invoke(main.app, [*words, str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "of moderation and labels it writes the cascade itself" in str(result.exception)


def test_evaluate_refuses_a_route_for_listed_labels(config: WriteConfig, tmp_path: Path) -> None:
    """Evaluate refuses a route for listed labels: its photos would come without a list, and each be
    asked alone."""
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


@pytest.mark.slow
class TestEvaluate:
    CONFIG = (
        "providers: {eye: {kind: shapes, usd_per_image: 0.5}}\n"
        "routes: [{task: objects, provider: eye, stages: [{shape: 2x2}], max_wait_ms: 500}]\n"
    )

    @pytest.fixture
    def evaluate(self, tmp_path: Path) -> RunCommand:
        """`evaluate(answer, *options)`: the result of the command over eight photos, each of one
        red block."""
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

        def run(answer: str, *options: str) -> Result:
            places = ["-c", str(tmp_path / "imgrid.yaml"), "--photos", str(tmp_path / "photos")]
            return CliRunner().invoke(main.app, ["evaluate", *places, *options], input=answer)

        return run

    def rows(self, result: Result) -> dict[str, list[str]]:
        """The table's rows, by strategy."""
        lines = result.output[result.output.index("strategy") :].splitlines()[2:]
        return {
            name: rest
            for name, *rest in (re.split(r"  +", line.strip()) for line in lines if line.strip())
        }

    def test_it_asks_nothing_before_the_price_is_accepted(self, evaluate: RunCommand) -> None:
        """The command names the highest cost in full canvases, and asks nothing until the user
        accepts it."""
        result = evaluate("n\n")
        assert "about 10 images to ask eye about" in result.output
        assert "5.00 USD" in result.output
        assert result.exit_code == 1
        assert "strategy" not in result.output

    def test_each_strategy_is_a_row(self, evaluate: RunCommand, tmp_path: Path) -> None:
        """Each strategy is a row: the images it billed a photo, the saving, and its precision next
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

    def test_without_ground_truth_it_reports_agreement_only(self, evaluate: RunCommand) -> None:
        """Without ground truth the table has the agreement with the answers alone, and no
        precision."""
        result = evaluate("y\n")
        assert "AP50" not in result.output
        assert self.rows(result)["objects: 2x2"] == ["0.250", "75.0%", "1.000"]

    def test_it_leaves_a_running_gateways_stores_alone(
        self, evaluate: RunCommand, tmp_path: Path
    ) -> None:
        """The command touches nothing of a gateway that may run beside it: no jobs, no buffer."""
        before = set(tmp_path.iterdir())
        assert evaluate("y\n").exit_code == 0
        assert set(tmp_path.iterdir()) >= before
        assert not list(tmp_path.glob("*.sqlite3*"))

    def test_a_stage_costs_its_own_providers_price(
        self, evaluate: RunCommand, tmp_path: Path
    ) -> None:
        """A stage costs its own provider's price, in the quote and in the bill."""
        (tmp_path / "imgrid.yaml").write_text(
            self.CONFIG.replace("}}\n", "}, far: {kind: shapes, usd_per_image: 2}}\n")
        )
        (tmp_path / "far.json").write_text('{"stages": [{"shape": "2x1", "provider": "far"}]}')
        result = evaluate("y\n", "--cascade", str(tmp_path / "far.json"))
        assert "about 10 images to ask eye about: about 5.00 USD" in result.output
        assert "about 4 images to ask far about: about 8.00 USD" in result.output
        assert "in all: about 13.00 USD" in result.output
        assert self.rows(result)["far"][:2] == ["2.000", "-100.0%"]

    def test_a_companion_is_free(self, evaluate: RunCommand, tmp_path: Path) -> None:
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

    def test_a_cascade_that_does_not_fit_is_named_before_paying(
        self, evaluate: RunCommand, tmp_path: Path
    ) -> None:
        """A cascade that does not fit the route is named before anything is paid."""
        (tmp_path / "far.json").write_text('{"stages": [{"shape": "2x1", "provider": "far"}]}')
        result = evaluate("y\n", "--cascade", str(tmp_path / "far.json"))
        assert isinstance(result.exception, main.ConfigError)
        assert re.search(
            r"--cascade .*far\.json: .*there is no provider 'far'", str(result.exception)
        )
        assert "USD" not in result.output

    def test_a_cascades_own_fusion_and_border_are_used(self, tmp_path: Path) -> None:
        """The whole cascade is tried, with its fusion and its border, even if the route has its
        own."""
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
        parts = live.build(routing, 0, Strategy("some", cascade))
        assert parts.routes["objects"].cascade == cascade

    def test_it_needs_photos_or_a_profile(self) -> None:
        """Without photos or a profile the command says so, and does nothing."""
        result = CliRunner().invoke(main.app, ["evaluate"])
        assert result.exit_code == 2
        assert "--photos" in click.unstyle(result.output)

    def test_failed_photos_are_reported_and_not_priced(self) -> None:
        """Photos without an answer are reported by strategy, and left out of the cost per photo."""
        strategy = Strategy("4x4", ALONE_CASCADE)
        result = live.StrategyResult({"a": []}, billed=0.5, failed=2)
        table = score_table(live.score_table([(strategy, result)], LabelledPhotos({}, {}, {})))
        assert table.caption == "photos without an answer: 2 of 4x4"
        assert result.per_photo == 0.5

    def test_an_unreadable_cascade_is_named(self, evaluate: RunCommand, tmp_path: Path) -> None:
        """A cascade that cannot be read is named."""
        result = evaluate("y\n", "--cascade", str(tmp_path / "none.json"))
        assert isinstance(result.exception, main.ConfigError)
        assert "none.json" in str(result.exception)
