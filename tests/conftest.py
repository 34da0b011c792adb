"""Settings for all tests."""

import gc
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from gateway.testing.redis_server import RedisServer
from tests.support import markers, sdk
from tests.support.redis import patient_commands

# Several processes run the tests, and take up all cores: threads and processes that each of them
# starts for its arithmetic would only wait for one another.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["LOKY_MAX_CPU_COUNT"] = "1"
os.environ["COLUMNS"] = "120"  # tables that the command prints do not depend on the terminal

# How fast an example runs says more of the machine, and of what else it does, than of the code.
any_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", any_machine)
settings.register_profile("quick", any_machine, max_examples=20)  # for `make unit`
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "thorough"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    markers.mark(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keeps the garbage collector away from all that is imported for the tests, which stays: it is
    off while tests are collected, and never looks at these objects later."""
    gc.disable()
    yield
    sdk.parse_models_once()
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """The number of processes that `-n auto` starts: one more than there are cores, as tests also
    wait."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 1 + (cores or 1)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis for these tests alone."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def server(redis_server: RedisServer) -> RedisServer:
    """The Redis of these tests, emptied."""
    commands = patient_commands(redis_server)
    await commands.client.flushall()
    await commands.close()
    return redis_server


@pytest.fixture
def start_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """`start_redis(*options)`: a Redis that a test may stop, break and configure."""
    started = []

    def start(*options: str) -> RedisServer:
        started.append(RedisServer(tmp_path_factory.mktemp("redis"), *options))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def own_server(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """A Redis of the test's own, with no options."""
    return start_redis()
