"""Where tasks run: processes of this machine, or a Ray cluster; one thread each, the same numbers.

In: a function and its tasks. Out: each task's result as it comes. joblib does the work.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from typing import TypeVar

from joblib import Parallel, delayed, parallel_config

from polyscale.market.errors import ConfigError

T = TypeVar("T")
R = TypeVar("R")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
_ONE_THREAD = {**dict.fromkeys(_THREADS, "1"), "OMP_WAIT_POLICY": "PASSIVE"}


class Backend(StrEnum):
    """Whose processors."""

    LOCAL = "local"
    RAY = "ray"


def check_backend(backend: Backend) -> None:
    """Raise `ConfigError` if Ray is asked for and not installed."""
    if backend is Backend.RAY and find_spec("ray") is None:
        raise ConfigError(
            "--backend ray needs the package ray, which is not installed; pip install 'polyscale[ray]', or "
            "take --backend local"
        )


def spread(
    function: Callable[[T], R], tasks: Sequence[T], jobs: int, backend: Backend
) -> Iterator[tuple[T, R]]:
    """Run the tasks, so many at once, and give each with its result as soon as it can be had.

    Parameters
    ----------
    function
        Of one task; it and what it holds are sent to where it runs.
    jobs
        Processes. With Ray, actors of one processor each, anywhere on the cluster that RAY_ADDRESS names (or
        of one that is begun here); results come in rounds of so many.

    Raises
    ------
    ConfigError
        If Ray is asked for and not installed.
    """
    if backend is Backend.RAY:
        yield from _on_ray(function, tasks, jobs)
    elif jobs == 1 or len(tasks) == 1:
        yield from ((task, function(task)) for task in tasks)
    else:
        with _environment(_ONE_THREAD), parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
            pool = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=jobs)
            yield from pool(delayed(_pair)(function, task) for task in tasks)


def _on_ray(function: Callable[[T], R], tasks: Sequence[T], jobs: int) -> Iterator[tuple[T, R]]:
    check_backend(Backend.RAY)
    import ray
    from ray.util.joblib import register_ray

    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False, logging_level=logging.WARNING)
    register_ray()  # type: ignore[no-untyped-call]
    place = {"num_cpus": 1, "runtime_env": {"env_vars": _ONE_THREAD}}
    with parallel_config("ray", n_jobs=jobs, ray_remote_args=place), Parallel() as pool:
        for at in range(0, len(tasks), jobs):
            yield from pool(delayed(_pair)(function, task) for task in tasks[at : at + jobs])


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """What processes that begin now will find."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _pair(function: Callable[[T], R], task: T) -> tuple[T, R]:
    return task, function(task)
