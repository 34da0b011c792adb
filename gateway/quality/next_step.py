"""What to do after a profile or a plan: a sentence, and the command to run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.config.defaults import DEFAULT_DROP
from gateway.quality.collect.photo_list import PhotoList
from thresholds.plan.candidates import OperatingPoint
from thresholds.plan.planner import Plan
from thresholds.plan.selection import best_estimate, photos_to_certify


class NextStep(NamedTuple):
    """One sentence on what to do, without its full stop, and the command that does it."""

    text: str
    command: str


class PlanFiles(NamedTuple):
    """The folder of the (first) profile, the cascade's file, and the words of the command `plan`
    after its name."""

    profile: Path
    cascade: Path
    words: Sequence[str] = ()


class Shortfall(NamedTuple):
    """The cheapest cascade within the goal by estimate, which is not promised, and about how many
    more photos would certify it; None where such plans lost more than that on photos that they had
    not seen."""

    point: OperatingPoint
    more_photos: int | None


def shortfall(plan: Plan) -> Shortfall | None:
    """What keeps a plan from its best estimate; None where that was selected, or nothing is to be
    promised."""
    explored, goal = plan.explored, plan.goal
    best = best_estimate(explored.front, goal)
    if plan.row is not None or plan.picked.result is None or best is None:
        return None
    if best.images >= plan.picked.point.images:
        return None
    study = explored.study
    needed = photos_to_certify(study, best, goal, explored.validation)
    return Shortfall(best, None if needed is None else max(needed - len(study.sample), 1))


def after_plan(plan: Plan, missing: Shortfall | None, files: PlanFiles) -> NextStep:
    """The step after a plan: use its cascade, buy answers about more photos where those would allow
    a promise, or else go by the estimate."""
    if not plan.saves_nothing:
        return NextStep(
            f"Name it in the route as cascade: {files.cascade}, then check the configuration",
            "imgrid config check",
        )
    if missing is not None and missing.more_photos is not None:
        return _more_photos(plan, missing.more_photos, files.profile)
    words = [*files.words, "--delta", "1", "--force"]
    return NextStep(
        "Allow a larger loss, or go by the estimate, which promises nothing",
        shlex.join(["imgrid", "plan", *words]),
    )


def after_profile(folder: Path, max_drop: float = DEFAULT_DROP) -> NextStep:
    """The step after a profile: a plan."""
    words = ["imgrid", "plan", str(folder), "--max-drop", f"{max_drop:g}"]
    return NextStep(
        "A plan finds the cheapest cascade that keeps quality, and costs nothing",
        shlex.join([*words, "--report", "plan.html"]),
    )


def _more_photos(plan: Plan, photos: int, folder: Path) -> NextStep:
    """The profile's own command, once its folder has more photos."""
    words = list(PhotoList.load(folder).words)
    if not words:
        words = ["--photos", "PHOTOS", "--out", str(folder)]
    target = words[words.index("--photos") + 1] if "--photos" in words else "the folder of photos"
    truth = ", with their objects in its ground truth" if "--truth" in words else ""
    study = plan.explored.study
    images = photos * study.images_per_photo
    usd = study.costs.usd_per_month(images)
    price = f", {usd:,.2f} USD" if usd > 0 else ""
    return NextStep(
        f"Put about {photos:,} more photos like these into {target}{truth}, and profile again: "
        f"only the new ones are paid for (about {images:,.0f} images{price}); then plan again",
        shlex.join(["imgrid", "profile", *words]),
    )
