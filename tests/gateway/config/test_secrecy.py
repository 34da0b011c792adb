"""What the configuration's output and errors do not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli import main
from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.masking import MASK, masked

SECRET = "hunter2"


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "line", "column"),
        [
            (f"listen: a\nredis: redis://u:{SECRET}@h\n  port: 1\n", 3, 7),
            (f'redis: "redis://u:{SECRET}@h\n', 2, 1),
            (f"redis: *{SECRET}\n", 1, 8),
            (f"redis: !{SECRET} x\n", 1, 8),
            (f"redis: {{a: {SECRET}\nb: [\n", 2, 2),
            (f"redis: %{SECRET}\n", 1, 8),
        ],
        ids=["mapping", "quote", "alias", "tag", "flow", "character"],
    )
    def test_a_yaml_error_has_line_and_column_and_not_the_text(
        self, tmp_path: Path, text: str, line: int, column: int
    ) -> None:
        """An error of YAML says where it is and what it is, and shows nothing of the file."""
        file = tmp_path / "imgrid.yaml"
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            settings.read(file, {})
        message = str(caught.value)
        assert f"{file} cannot be read: line {line}, column {column}: " in message
        assert SECRET not in message
        assert "\n" not in message

    def test_a_key_that_stands_twice_is_named(self, tmp_path: Path) -> None:
        """The name of a key is no secret."""
        file = tmp_path / "imgrid.yaml"
        file.write_text("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n")
        with pytest.raises(ConfigError, match=r"line \d, column \d: the key 'listen' stands twice"):
            settings.read(file, {})

    def test_a_character_that_yaml_forbids_is_placed(self, tmp_path: Path) -> None:
        """Control characters have no line; their place is counted in characters."""
        file = tmp_path / "imgrid.yaml"
        file.write_text(f"redis: {SECRET}\x00\n")
        with pytest.raises(ConfigError, match="at character 15") as caught:
            settings.read(file, {})
        assert SECRET not in str(caught.value)

    def test_a_variable_of_the_environment_is_not_shown_either(self, tmp_path: Path) -> None:
        """An error of a variable names the variable, and not its value."""
        file = tmp_path / "imgrid.yaml"
        file.write_text("providers: {eye: {kind: shapes}}\n")
        with pytest.raises(ConfigError, match="IMGRID_REDIS in the environment") as caught:
            settings.read(file, {"IMGRID_REDIS": f"[{SECRET}"})
        assert "line 1, column" in str(caught.value)
        assert SECRET not in str(caught.value)


class TestMasking:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("https://user:hunter2@host:8/a", f"https://{MASK}@host:8/a"),
            ("https://hunter2@host", f"https://{MASK}@host"),
            ("https://host/a?sig=hunter2&b=1", f"https://host/a?{MASK}"),
            ("https://host/a#hunter2", f"https://host/a#{MASK}"),
            ("https://host:8/a/b", "https://host:8/a/b"),
            ("s3://bucket/folder/", "s3://bucket/folder/"),
            ("http://[hunter2?x=1", MASK),
            ("two words: what?", "two words: what?"),
            (7, 7),
        ],
    )
    def test_urls_hide_who_and_with_what(self, value: Any, shown: Any) -> None:
        """User-info, query and fragment of a URL are masked, wherever it stands."""
        assert masked({"a": [{"b": value}]}) == {"a": [{"b": shown}]}

    def test_config_show_masks_urls(self, tmp_path: Path) -> None:
        """`imgrid config show` prints addresses without what they hide."""
        route = {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]}
        file = tmp_path / "imgrid.yaml"
        content = {
            "providers": {"eye": {"kind": "shapes"}},
            "routes": [route],
            "fetch": {"gs": {"endpoint": f"https://user:{SECRET}@gs.example/?sig={SECRET}"}},
        }
        file.write_text(yaml.safe_dump(content))
        shown = CliRunner().invoke(main.app, ["config", "show", "-c", str(file)]).output
        assert "gs.example" in shown
        assert SECRET not in shown
