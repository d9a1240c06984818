"""How long jobs will take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from upres.batch.job import Job
from upres.upscaling.speeds import MOST_PX
from upres.upscaling.upscaler import Upscaler

_SECONDS_PER_ENCODED_PIXEL = 0.1e-6  # a photograph as PNG at the default level, measured once; for estimates only
_SLOW_MACS_PER_SECOND = 20e9  # a fifth of the speed of two cores from 2020
_CALIBRATION_SHARE = 0.01  # of the job's multiply-adds, within the bounds below: small tiles are slower per pixel
_CALIBRATION_MACS = (8e9, 80e9)


def estimate_seconds(jobs: Sequence[Job], measure_from_s: float = 0.0) -> float:
    """Estimate the duration of all jobs: networks at their measured speed, and encoding that cannot overlap with them.

    jobs: In the order they run.
    measure_from_s: Shorter jobs are not measured. If a slow machine would need less, its time is returned; if a quick
        measurement with one small tile says less, that time is.
    """
    slow = _estimate(jobs, lambda job: _SLOW_MACS_PER_SECOND * _least_share(job.upscaler))
    if slow < measure_from_s:
        return slow
    if measure_from_s > 0.0:
        glance = _estimate(jobs, _glance)
        if glance < measure_from_s:
            return glance
    calibration = _CALIBRATION_SHARE * sum(job.plan.macs for job in jobs)
    macs = min(max(calibration, _CALIBRATION_MACS[0]), _CALIBRATION_MACS[1])
    return _estimate(jobs, lambda job: _speed(job, macs))


def _glance(job: Job) -> float:
    return job.upscaler.glance_macs_per_second(job.plan.workers, min(MOST_PX, job.plan.tile_side_px))


def _speed(job: Job, macs: float) -> float:
    """With tiles like those of the job: larger ones may take more memory than it may have."""
    return job.upscaler.macs_per_second(macs, job.plan.workers, min(MOST_PX, job.plan.tile_side_px))


def _least_share(upscaler: Upscaler) -> float:
    """Share of a slow machine's speed at least: half precision on a CPU may be emulated."""
    emulated = any(
        network.runner.device == "cpu" and network.runner.precision != "fp32" for network in upscaler.networks
    )
    return 1e-3 if emulated else 1.0


def _estimate(jobs: Sequence[Job], speed: Callable[[Job], float]) -> float:
    total = tail = 0.0
    for job in jobs:
        network = job.plan.macs / speed(job) if job.plan.macs else 0.0
        total += max(network, tail)
        tail = job.plan.pixels * _SECONDS_PER_ENCODED_PIXEL
    return total + tail
