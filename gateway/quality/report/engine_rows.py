"""The rows of a local engine's plan, for tables."""

from __future__ import annotations

from collections.abc import Iterator

from thresholds.plan.engine_plan import EnginePlan, EnginePoint

COLUMNS = ("", "model", "input", "AP50", "prepare ms", "network ms", "read ms", "photos/s", "bound")


def rows_of(plan: EnginePlan) -> Iterator[tuple[EnginePoint, list[str]]]:
    """Each point with its cells, the fastest first."""
    front = plan.front
    for point in sorted(plan.points, key=plan.rate, reverse=True):
        width, height = point.input_px
        yield (
            point,
            [
                "*" if point in front else "",
                point.model,
                f"{width}x{height} {'rect' if point.rectangular else 'padded'}",
                f"{point.quality:.3f}",
                f"{1e3 * point.prepare_s:.1f}",
                f"{1e3 * point.run_s:.1f}",
                f"{1e3 * point.read_s:.1f}",
                f"{plan.rate(point):.1f}",
                plan.bottleneck(point),
            ],
        )
