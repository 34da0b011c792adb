"""Plans are made in a process of their own, with one thread and a low priority: minutes of
arithmetic must not hold up anybody's photo.

The process reads one request from its standard input and writes one plan to its standard output.
"""

from __future__ import annotations

import asyncio
import os
import sys

import msgspec

from gateway.learning.plans import LearnedPlan, PlanRequest

NICENESS = 10
PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from gateway.learning.planning_process import serve
serve()
"""


async def plan_in_child(request: PlanRequest) -> LearnedPlan:
    """The plan of a request, made in a process of its own. Raises RuntimeError where that fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        msgspec.json.encode(sys.path).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(msgspec.msgpack.encode(request))
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        last_lines = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"no plan was made: {' '.join(last_lines) or process.returncode}")
    return msgspec.msgpack.decode(output, type=LearnedPlan)


def serve() -> None:
    """Answers the request on standard input."""
    from gateway.learning.planning import learned_plan

    if hasattr(os, "nice"):
        os.nice(NICENESS)
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=PlanRequest)
    sys.stdout.buffer.write(msgspec.msgpack.encode(learned_plan(request)))
