"""The stand-in of ../shared for a paid API, with its faults and its bill, and a detector that
really reads the photos of drawings.py. Its bill also says how many calls are under way: one that
hangs is billed when it ends.

python benchmarks/upstream.py --port 9000 [--shared ../shared] [--hang-s 120] [--parallel 2]
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from PIL import Image

from providers.shapes import shapes_on


def load(shared: Path, name: str = "vision_upstream") -> ModuleType:
    """The stand-in's own code, or its grader's."""
    spec = importlib.util.spec_from_file_location(name, shared / "upstream" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"there is no {name} in {shared}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def see(image: Image.Image) -> list[tuple[str, float, tuple[float, float, float, float]]]:
    """What is drawn, in the form of the stand-in's own detector."""
    return [(each.label, each.score, tuple(each.box)) for each in shapes_on(image)]  # type: ignore[misc]


def server(module: ModuleType, port: int, parallel: int, hang_s: float) -> Any:
    """The stand-in's server; a hang lasts `hang_s` instead of its two minutes."""
    module.time = SimpleNamespace(
        time=time.time, sleep=lambda s: time.sleep(hang_s if s == 120 else s)
    )  # type: ignore[attr-defined]

    class Counting(module.Upstream):  # type: ignore[misc, name-defined]
        def reset(self) -> None:
            super().reset()
            self.bill["under_way"] = 0

        def detect(self, *args: Any, **limits: Any) -> Any:
            with self.lock:
                self.bill["under_way"] += 1
            try:
                return super().detect(*args, **limits)
            finally:
                with self.lock:
                    self.bill["under_way"] -= 1

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that die while they are answered are what this is for."""

    return Counting(port, see, parallel, set())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--hang-s", type=float, default=120.0)
    parser.add_argument("--parallel", type=int, default=2)
    options = parser.parse_args()
    server(load(options.shared), options.port, options.parallel, options.hang_s).serve_forever()


if __name__ == "__main__":
    main()
