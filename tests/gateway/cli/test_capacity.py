"""`imgrid capacity`: schedules by a deadline, and the machines for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from gateway.cli import main
from gateway.config.errors import ConfigError
from providers.engine.machine import FILE, Machine, MachineProfile, NetworkSpeed, Preparation
from tests.support.paths import ROOT

RunCapacity = Callable[..., Result]


def network(model: str = "net", **changes: Any) -> dict[str, Any]:
    """One that runs a photo in 0.1 s and eight in 0.4 s."""
    runs = [
        {"mini_batch": 1, "latency_s": 0.1, "warm_up_s": 0.5, "memory_mb": 100},
        {"mini_batch": 8, "latency_s": 0.4, "warm_up_s": 1.0, "memory_mb": 300},
    ]
    speed = {"model": model, "input_px": [64, 64], "workers": 2, "threads": 1, "runs": runs}
    return {**speed, **changes}


PHOTOS = {"format": "jpeg", "source_px": [800, 600], "input_px": [64, 64]}
PREPARATION = {**PHOTOS, "workers": 2, "photo_s": 0.05}
KINDS: list[dict[str, Any]] = [
    {"name": "small", "usd_per_hour": 0.1, "count": 9, "networks": [network(), network("other")]},
    {
        "name": "large",
        "usd_per_hour": 0.5,
        "count": 1,
        "networks": [network(execution="cuda", workers=8)],
    },
]


def write_profile(file: Path, *networks: Mapping[str, Any]) -> None:
    MachineProfile(
        made_at="2026-11-30T12:00:00+00:00",
        machine=Machine(cpu="a processor", cores=2, memory_mb=1000),
        networks=tuple(NetworkSpeed.model_validate(each) for each in networks or [network()]),
        preparations=(Preparation.model_validate(PREPARATION),),
    ).save(file)


@pytest.fixture
def capacity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunCapacity:
    """`capacity(*words)`: the command in a folder with a profile; with `content`, that is the file
    of its `--machines`. Raises ConfigError."""
    monkeypatch.chdir(tmp_path)
    write_profile(tmp_path / FILE)

    def run(*words: str, content: Mapping[str, Any] | None = None) -> Result:
        machines: list[str] = []
        if content is not None:
            (tmp_path / "prices.yaml").write_text(yaml.safe_dump(dict(content)))
            machines = ["--machines", "prices.yaml"]
        result = CliRunner().invoke(main.app, ["capacity", *words, *machines])
        if isinstance(result.exception, ConfigError):
            raise result.exception
        return result

    return run


def rows(result: Result) -> list[list[str]]:
    """The words of the rows that end with numbers."""
    lines = (line.split() for line in result.output.splitlines())
    return [words for words in lines if len(words) > 5 and words[-1].replace(".", "").isdigit()]


def test_the_fewest_devices_are_told_with_their_margin(capacity: RunCapacity) -> None:
    """100 photos take one worker 13 mini-batches of 8, done in 5.8 s of 10."""
    result = capacity("--images", "100", "--deadline", "10")
    assert result.exit_code == 0, result.output
    assert rows(result) == [["cpu", "1", "8", "12", "100", "5.80", "4.20"]]
    assert "100 photos on 1 device, done in 5.8 s: 4.2 s before the deadline of 10 s" in (
        result.output
    )


def test_work_is_spread_over_the_devices_that_are_used(capacity: RunCapacity) -> None:
    """Two devices that are needed are done at nearly the same time, before the deadline."""
    result = capacity("--images", "300", "--deadline", "10")
    assert [row[-4:] for row in rows(result)] == [
        ["18", "152", "8.20", "1.80"],
        ["18", "148", "8.20", "1.80"],
    ]


def test_without_photos_as_many_as_can_be_are_planned(capacity: RunCapacity) -> None:
    """Without --images all devices run until the deadline."""
    result = capacity("--deadline", "10", "--gpus", "3")
    assert "552 photos on 3 devices" in result.output
    assert "cpu 1 to cpu 3 (3)" in result.output


def test_missing_devices_are_told(capacity: RunCapacity) -> None:
    """Too many photos are status 1, the time they need, and how many more devices would do."""
    result = capacity("--images", "1000", "--deadline", "10")
    assert result.exit_code == 1
    assert (
        "1,000 photos need at least 25.8 s with these 2 devices; 4 more (6 in all) would do it "
        "in 10 s" in result.stderr
    )
    assert capacity("--images", "1000", "--deadline", "25.7").exit_code == 1
    assert capacity("--images", "1000", "--deadline", "25.8").exit_code == 0
    assert capacity("--images", "1000", "--deadline", "10", "--gpus", "5").exit_code == 1
    assert capacity("--images", "1000", "--deadline", "10", "--gpus", "6").exit_code == 0


@pytest.mark.parametrize("words", [("--images", "1"), ()], ids=["soft", "relaxed"])
def test_a_deadline_before_the_warm_up_is_told(
    capacity: RunCapacity, words: tuple[str, ...]
) -> None:
    """Where the first mini-batch takes too long, no number of devices would do."""
    result = capacity(*words, "--deadline", "0.4")
    assert result.exit_code == 1
    assert "the first mini-batch alone takes 0.5 s" in result.stderr


def test_decoding_is_counted_on_request(capacity: RunCapacity) -> None:
    """With --source a mini-batch takes its decoding too: 8 x 0.05 s."""
    result = capacity("--images", "100", "--deadline", "20", "--source", "jpeg@800x600")
    assert rows(result) == [["cpu", "1", "8", "12", "100", "11.00", "9.00"]]
    assert "decoding is not counted" not in result.output


def test_the_schedule_is_drawn(capacity: RunCapacity, tmp_path: Path) -> None:
    """--chart writes a PNG."""
    file = tmp_path / "chart.png"
    capacity("--images", "100", "--deadline", "10", "--chart", str(file))
    with Image.open(file) as image:
        assert image.format == "PNG"


def test_machines_are_priced(capacity: RunCapacity) -> None:
    """The machines of each kind, their price an hour, and that until the deadline."""
    content = {"kinds": KINDS}
    result = capacity("--images", "1000", "--deadline", "10", "--model", "net", content=content)
    assert "3 machines for USD 0.30 an hour, USD 0.0008 until the deadline" in result.output
    result = capacity("--images", "4000", "--deadline", "10", "--model", "net", content=content)
    assert "8 machines for USD 1.20 an hour" in result.output


def test_networks_share_the_machines(capacity: RunCapacity) -> None:
    """The file's work gives each network its photos; a machine runs one of them."""
    work = [{"model": "net", "images": 300}, {"model": "other@64x64", "images": 300}]
    result = capacity("--deadline", "10", content={"kinds": KINDS, "work": work})
    assert "600 photos on 4 devices" in result.output
    assert "2 machines for USD 0.20 an hour" in result.output


def test_all_machines_are_filled_without_photos(capacity: RunCapacity) -> None:
    """Without --images the photos are those of all machines."""
    result = capacity("--deadline", "10", "--model", "net", content={"kinds": KINDS})
    assert f"{184 * (9 * 2 + 8):,} photos on 26 devices" in result.output


def test_missing_machines_are_told(capacity: RunCapacity) -> None:
    """Too few machines are status 1, the time they need, and a set that would do."""
    result = capacity(
        "--images", "5000", "--deadline", "10", "--model", "net", content={"kinds": KINDS}
    )
    assert result.exit_code == 1
    assert "5,000 photos need at least 10.6 s with these machines" in result.stderr
    assert "14 small (there are 9) would do it in 10 s for USD 1.40 an hour" in result.stderr


def test_too_few_machines_for_the_networks_are_told(capacity: RunCapacity) -> None:
    """Where there are fewer machines than networks, no time would do."""
    kinds = [{**KINDS[0], "count": 1}]
    work = [{"model": name, "images": 1} for name in ("net", "other")]
    result = capacity("--deadline", "10", content={"kinds": kinds, "work": work})
    assert "a machine runs one network, and there are fewer machines" in result.stderr
    assert "2 small (there are 1) would do it" in result.stderr


def test_a_kind_may_name_a_profile(capacity: RunCapacity, tmp_path: Path) -> None:
    """The path of a profile is relative to the file; memory_mb overrides the machine's."""
    write_profile(tmp_path / "elsewhere.json")
    kind = {"name": "small", "usd_per_hour": 1, "count": 1, "machine": "elsewhere.json"}
    words = ("--images", "300", "--deadline", "100")
    assert rows(capacity(*words, content={"kinds": [kind]}))[-1][-5] == "8"
    assert rows(capacity(*words, content={"kinds": [{**kind, "memory_mb": 250}]}))[-1][-5] == "1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "prices.yaml: kinds: Field required"),
        ({"kinds": []}, "prices.yaml: kinds: "),
        ({"kinds": [{**KINDS[0], "count": 0}]}, "prices.yaml: kinds[0].count: "),
        (
            {"kinds": [{**KINDS[0], "usd_per_hr": 1}]},
            "prices.yaml: kinds[0].usd_per_hr: unknown key (did you mean usd_per_hour?)",
        ),
        ({"kinds": [{**KINDS[0], "networks": []}]}, "prices.yaml: kinds[0]: give machine, "),
        (
            {"kinds": [{**KINDS[0], "networks": [network(workers=0)]}]},
            "prices.yaml: kinds[0].networks[0].workers: ",
        ),
        ({"kinds": [KINDS[0], KINDS[0]]}, "prices.yaml: two kinds are named small"),
        ({"kinds": KINDS}, "prices.yaml: say which network with --model: net@64x64, other@64x64"),
        (
            {"kinds": [{**KINDS[0], "memory_mb": 50, "networks": [network()]}]},
            "prices.yaml: kinds[0].networks: net@64x64@cpu takes 100 MB",
        ),
        (
            {"kinds": KINDS, "work": [{"model": "nett", "images": 1}]},
            "prices.yaml: no network nett was measured; there are net@64x64@cpu, ",
        ),
        (
            {"kinds": KINDS, "work": [{"model": "net", "images": 1}] * 2},
            "prices.yaml: work names net twice",
        ),
    ],
)
def test_an_unusable_file_is_named_with_its_key(
    capacity: RunCapacity, content: Mapping[str, Any], message: str
) -> None:
    """What is wrong with the file of --machines is told with the file and the key."""
    with pytest.raises(ConfigError) as caught:
        capacity("--deadline", "10", content=content)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--calibration", "no.json"), "no.json: cannot be read (No such file or directory)"),
        (("--model", "nett"), "machine.json: no network nett was measured; there are net@64x64"),
        (("--source", "jpeg"), "--source jpeg: write a format and a size"),
        (("--source", "png@1x1"), "machine.json: no png@1x1 was measured for net@64x64@cpu"),
        (("--machines", "no.yaml"), "no.yaml cannot be read"),
        (("--machines", "no.yaml", "--gpus", "2"), "--gpus does not go with --machines"),
        (("--chart", "no/chart.png"), "--chart no/chart.png: cannot be written"),
    ],
)
def test_unusable_options_are_named(
    capacity: RunCapacity, words: tuple[str, ...], message: str
) -> None:
    """What is wrong with an option is told with its name or its file."""
    with pytest.raises(ConfigError) as caught:
        capacity("--deadline", "10", *words)
    assert message in str(caught.value)


def test_the_example_of_the_page_is_what_comes_out(capacity: RunCapacity) -> None:
    """The commands of docs/capacity.md answer what the page shows."""
    page = (ROOT / "docs" / "capacity.md").read_text()
    content = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    examples = re.findall(r"```text\n\$ imgrid capacity (.*?)\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    for words, shown in examples:
        options = words.replace("--machines prices.yaml", "").split()
        lines = capacity(*options, content=content).output.splitlines()
        assert "\n".join(line.rstrip() for line in lines) == shown.strip()
