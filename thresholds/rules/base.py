"""The contract of rules: what they judge by, and what they say of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from thresholds.fusion.looks import Evidence


class Verdict(NamedTuple):
    """What a rule says of an answer: `skip` is how many stages further to ask again, 0 to accept
    it.

    `reason` is for people: logs, metrics and the native answer show it.
    """

    skip: int
    reason: str

    @property
    def accepted(self) -> bool:
        return self.skip == 0


ACCEPT = Verdict(0, "accepted")


class Rule(Protocol):
    """Decides from what was seen of one photo; pure, so that plans can replay it over stored
    answers."""

    @property
    def kind(self) -> str: ...

    @property
    def reach(self) -> int:
        """The most stages that a verdict skips; 0 where every answer is accepted."""
        ...

    def judge(self, seen: Evidence) -> Verdict:
        """The verdict on a photo's last answer, in the light of those before it."""
        ...

    def stricter(self) -> Rule:
        """One that never accepts what this one does not; the same where there is none stricter."""
        ...
