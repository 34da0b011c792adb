"""The contract of rules."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from thresholds.fusion.looks import Evidence


class Verdict(NamedTuple):
    """A rule's decision on an answer: accept it, or ask again `skip` stages further.

    `skip` is 0 where the answer is accepted. `reason` is for people, in logs, metrics and the
    native answer.
    """

    skip: int
    reason: str

    @property
    def accepted(self) -> bool:
        return self.skip == 0


ACCEPT = Verdict(0, "accepted")


class Rule(Protocol):
    """Decides on the evidence of one photo. Rules are pure, so that plans can replay them over
    stored answers."""

    @property
    def kind(self) -> str: ...

    @property
    def reach(self) -> int:
        """The most stages that a verdict skips; 0 where every answer is accepted."""
        ...

    def judge(self, evidence: Evidence) -> Verdict:
        """The verdict on a photo's last answer, given the earlier ones."""
        ...

    def stricter(self) -> Rule:
        """A rule that accepts no answer which this one does not; itself where there is none
        stricter."""
        ...
