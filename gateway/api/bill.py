"""What an answer cost, as its headers say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway.core.errors import GatewayError
from gateway.core.exchange import Reply
from gateway.core.model import Outcome, Step
from gateway.core.question import ItemAnswer

BILLED_HEADER, SAVED_HEADER = "X-Imgrid-Billed", "X-Imgrid-Saved"
TIMING_HEADER = "Server-Timing"


class Bill(NamedTuple):
    """The images that an answer was billed, and those that it saved: photos answered for a task
    minus images billed."""

    billed: float
    saved: float

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return {BILLED_HEADER: _number(self.billed), SAVED_HEADER: _number(self.saved)}


NOTHING = Bill(0.0, 0.0)


def bill_of(answers: Sequence[ItemAnswer]) -> Bill | None:
    """The bill of a call's photos; None where calls failed that may be billed, and nothing else is
    known."""
    billed = sum(answer.share for answer in answers)
    errors = [answer.error for answer in answers if answer.error is not None]
    if not billed and any(error.status >= 500 for error in errors):
        return None
    outcomes = [outcome for answer in answers for outcome in answer.outcomes.values()]
    return Bill(billed, sum(outcome.error is None for outcome in outcomes) - billed)


def bill_of_refusal(error: GatewayError) -> Bill | None:
    """The bill of a call that ended with the error: nothing where it is the client's, or a limit's.
    None where it is not known."""
    return NOTHING if error.status < 500 else None


def _timing_of(answers: Sequence[ItemAnswer]) -> dict[str, str]:
    """The header with the times of the photo that took longest: in lanes, in the renderer and
    upstream. No header where no photo was asked about.

    https://www.w3.org/TR/server-timing/
    """
    outcomes = [outcome for answer in answers for outcome in answer.outcomes.values()]
    slowest = max(outcomes, key=_seconds, default=None)
    if slowest is None or not slowest.steps:
        return {}
    steps = slowest.steps
    parts = {
        "wait": sum(step.waited_s for step in steps),
        "compose": sum(step.composed_s for step in steps),
        "upstream": sum(step.asked_s for step in steps),
    }
    return {TIMING_HEADER: timing(parts)}


def with_bill(reply: Reply, bill: Bill | None) -> Reply:
    """The reply with the headers of its bill, if that is known."""
    return reply if bill is None else _with(reply, bill.headers)


def with_costs(reply: Reply, answers: Sequence[ItemAnswer]) -> Reply:
    """The reply with the headers of the answers' bill and times."""
    return _with(with_bill(reply, bill_of(answers)), _timing_of(answers))


def _with(reply: Reply, headers: Mapping[str, str]) -> Reply:
    return replace(reply, headers={**reply.headers, **headers})


def timing(parts: Mapping[str, float]) -> str:
    """The value of `Server-Timing` for durations in seconds."""
    return ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in parts.items())


def _seconds(outcome: Outcome) -> float:
    return sum(map(_step_seconds, outcome.steps))


def _step_seconds(step: Step) -> float:
    return step.waited_s + step.composed_s + step.asked_s


def outcome_name(errors: Iterable[GatewayError | None]) -> str:
    """The outcome of a call's photos: `ok`, the first error's code, or `partial` where photos
    failed and others were answered."""
    codes = ["" if error is None else error.code for error in errors]
    failed = [code for code in codes if code]
    if not failed:
        return "ok"
    return failed[0] if len(failed) == len(codes) else "partial"


def _number(images: float) -> str:
    """A number of images without needless digits, such as 0.25."""
    return f"{round(images, 6) + 0.0:.6f}".rstrip("0").rstrip(".")
