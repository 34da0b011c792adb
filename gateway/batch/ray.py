"""Chunks by actors of a Ray cluster. https://docs.ray.io/en/latest/ray-core/actors.html"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.batch.chunk_worker import ChunkResult, ChunkTask, ChunkWorker
from providers.extras import import_package


def ray_pool(
    tasks: Iterator[ChunkTask], worker: ChunkWorker, workers: int
) -> Iterator[ChunkResult]:
    """The rows of tasks by so many actors, of the cluster that the environment names
    (`RAY_ADDRESS`) or of one that is started here. An actor gets a task when it is free.

    Raises Misconfigured where Ray is not installed.
    """
    ray = import_package("ray", "ray")
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    actor = ray.remote(ChunkWorker)
    free = [actor.remote(worker.photos, worker.unit, worker.in_flight) for _ in range(workers)]
    busy = {}
    while True:
        while free and (task := next(tasks, None)) is not None:
            mate = free.pop()
            busy[mate.__call__.remote(task)] = mate, task
        if not busy:
            return
        (answer,), _ = ray.wait(list(busy), num_returns=1)
        mate, task = busy.pop(answer)
        free.append(mate)
        yield task, ray.get(answer)
