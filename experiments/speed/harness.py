"""Interleaved timing, which all benchmarks share."""

import statistics
from collections.abc import Callable

import torch
from torch.utils.benchmark import Timer


def medians(tasks: dict[str, Callable[[], object]], runs: int = 5) -> dict[str, float]:
    """Return the median seconds of each task; the tasks take turns, so that a drift of the machine
    meets all alike."""
    timers = {
        name: Timer("task()", globals={"task": task}, num_threads=torch.get_num_threads())
        for name, task in tasks.items()
    }
    seconds = {name: [] for name in tasks}
    for turn in range(runs + 1):
        for name, timer in timers.items():
            taken = timer.timeit(1).mean
            if turn:  # the first turn warms up
                seconds[name].append(taken)
    return {name: statistics.median(taken) for name, taken in seconds.items()}
