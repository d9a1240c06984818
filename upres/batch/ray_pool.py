"""Workers on the machines of a Ray cluster, by Ray Data (`upres[ray]`). Scheduling, retries and scaling are Ray's.

Each actor is one `TaskWorker`, whose networks stay loaded. Ray does the pictures of a lost machine again on another;
results are written whole, so a picture that was done twice is the same file.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportMissingImports=false
# ray is typed in part; this module annotates what it returns.

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from upres.batch.tasks import Answer, Setup, Task, TaskWorker
from upres.errors import EngineError
from upres.system.packages import need
from upres.system.text import first_line, shown

BLOCK = 4000  # tasks of one Ray dataset: actors start once for it
_MOST_ACTORS = 4096  # Ray asks its autoscaler for machines up to here
_DEVICES_WITH_GPU = ("cuda", "tensorrt", "vulkan", "rocm", "migraphx", "xpu")


class RayPool:
    """Workers on the cluster at `address` ("auto", "ray://host:10001", "local"). Close it.

    Raises `EngineError` if ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, address: str, setup: Setup) -> None:
        need("`ray`", "ray")
        import ray

        self._setup = msgspec.json.encode(setup)
        device = setup.request.options.engine_options.device.partition(":")[0]
        self._resources: dict[str, float] = {"num_cpus": max(1, setup.threads)}
        if device in _DEVICES_WITH_GPU:
            self._resources["num_gpus"] = 1
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise EngineError(
                f"`ray={address!r}`: no cluster can be reached there ({shown(first_line(str(error)))})"
            ) from error
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = 0

    def map(self, tasks: Iterator[Task]) -> Iterator[Answer]:
        """The answers in the order in which they come; tasks are taken in blocks."""
        while block := list(islice(tasks, BLOCK)):
            yield from self._map(block)

    def _map(self, block: list[Task]) -> Iterator[Answer]:
        import ray
        from ray.exceptions import RayError

        left = {task.number for task in block}
        rows = [{"task": msgspec.json.encode(task)} for task in block]
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,
            fn_constructor_kwargs={"setup": self._setup},
            concurrency=(1, min(_MOST_ACTORS, len(rows))),
            **self._resources,
        )
        try:
            for row in data.iter_rows():
                answer = msgspec.json.decode(row["answer"], type=Answer)
                left.discard(answer.number)
                yield answer
        except RayError as error:  # what Ray itself could not mend
            for number in left:
                yield Answer(number, code=EngineError.exit_code, reason=_words(error), lost=True)

    def close(self) -> None:
        """Leave the cluster."""
        import ray

        ray.shutdown()


class _Actor:
    """A worker on a machine of the cluster."""

    def __init__(self, setup: bytes) -> None:
        logging.getLogger("upres").addHandler(logging.NullHandler())
        self._worker = TaskWorker(msgspec.json.decode(setup, type=Setup))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        task = msgspec.json.decode(row["task"], type=Task)
        return {"answer": msgspec.json.encode(self._worker(task))}


def _words(error: Exception) -> str:
    return f"the cluster failed: {shown(first_line(str(error)))[:300]}"
