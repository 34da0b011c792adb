"""Ids of jobs: sortable by time, impossible to guess, and of the size of a UUID."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, whose digits are in ASCII order, so that ids sort by time."""
_PREFIX = "job_"
_TIME_DIGITS, _RANDOM_DIGITS = 11, 16
_RANDOM_BITS = 76
"""With the 52 bits of the time in microseconds, which last until 2112, those of a UUID."""
ID_CHARS = len(_PREFIX) + _TIME_DIGITS + _RANDOM_DIGITS


def job_id(now: float, token: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A new job id: `job_`, the time in microseconds and 76 random bits, both in base 32. Later ids
    are greater, and none can be guessed."""
    random_bits = int.from_bytes(token(10), "big") >> (80 - _RANDOM_BITS)
    return _id_of(int(now * 1e6), random_bits)


def uuid_of(job: str) -> str:
    """The job's id in the form of a UUID, which some SDKs expect of an operation's id."""
    digits = job.removeprefix(_PREFIX)
    time_us, random_bits = _number(digits[:_TIME_DIGITS]), _number(digits[_TIME_DIGITS:])
    return str(uuid.UUID(int=time_us << _RANDOM_BITS | random_bits))


def job_id_of(text: str) -> str:
    """The id of the job that a UUID stands for, the reverse of `uuid_of`. Raises ValueError for a
    text that is no UUID."""
    time_us, random_bits = divmod(uuid.UUID(text).int, 1 << _RANDOM_BITS)
    return _id_of(time_us, random_bits)


def _id_of(time_us: int, random_bits: int) -> str:
    return f"{_PREFIX}{_base32(time_us, _TIME_DIGITS)}{_base32(random_bits, _RANDOM_DIGITS)}"


def _base32(number: int, digits: int) -> str:
    return "".join(_DIGITS[(number >> 5 * place) & 31] for place in reversed(range(digits)))


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number << 5 | _DIGITS.index(digit)
    return number
