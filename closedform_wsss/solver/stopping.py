"""When conjugate gradients stop: by an estimate of the error of x, not by the residual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from closedform_wsss._checks import check_count, check_positive

Callback = Callable[[int, float], None]


@dataclass(frozen=True)
class Stopping:
    """The largest error of x to stop at, the iterations to stop at, and what is called with (iterations, error)."""

    tol: float
    max_iter: int
    callback: Callback | None = None

    @classmethod
    def checked(cls, caller: str, tol: float, max_iter: int, callback: Callback | None) -> Stopping:
        if callback is not None and not callable(callback):
            raise TypeError(
                f"{caller}: callback must be a function of iterations and error, got {type(callback).__name__}"
            )
        return cls(check_positive(caller, "tol", tol), check_count(caller, "max_iter", max_iter, 1), callback)


@dataclass(frozen=True)
class CheckSchedule:
    """When the solution is checked, and which convergence rates are possible.

    Attributes:
        every, divisor: Iterations between two checks: ``every``, or those done / ``divisor`` if that is more.
        min_rate, max_rate: Bounds of the factor by which the error shrinks from check to check.
    """

    every: int = 5
    divisor: int = 8
    min_rate: float = 0.75
    max_rate: float = 0.98


class StoppingCriterion:
    """Estimates the largest error of x for each image and class.

    The residual is a poor measure: A is so ill-conditioned that a relative residual of 1e-7 leaves errors of 0.1 in x.
    The estimate uses the steps of x between checks. If x moved by at most d' before the last check and by d since, its
    convergence rate is rho = d / d', clamped to the schedule's bounds, and the remaining error is about
    d rho / (1 - rho). A system has converged when this is below ``tol`` at two checks in a row.

    Attributes:
        error: ``(N, C)``, the estimate.
        done: ``(N, C)`` bool.
        next_check: The iteration of the next check.
    """

    def __init__(self, shape: tuple[int, int], tol: float, device: torch.device, schedule: CheckSchedule) -> None:
        """shape: images, classes."""
        self.tol, self.schedule, self.next_check = tol, schedule, schedule.every
        self.error = torch.full(shape, torch.inf, dtype=torch.float64, device=device)
        self.moved = torch.full_like(self.error, torch.inf)
        self.done = torch.zeros_like(self.error, dtype=torch.bool)
        self.near = torch.zeros_like(self.done)  # below the tolerance at the last check

    def start(self, solved: Tensor) -> bool:
        """Mark the systems ``(N, C)`` that the initial x solves; return whether these are all."""
        self.error[solved] = 0
        self.done |= solved
        self.near |= solved
        return bool(self.done.all())

    def update(self, iterations: int, moved: Tensor, classes: Tensor) -> tuple[bool, bool]:
        """Update the estimate.

        Args:
            iterations: Done so far.
            moved: ``(N, classes)``, the largest change of x since the last check.
            classes: Which of the classes these are.

        Returns:
            Whether x is finite, and whether every system has converged. If x is not finite, none has.
        """
        self.next_check = iterations + max(self.schedule.every, iterations // self.schedule.divisor)
        before = self.moved[:, classes]
        rate = (moved / before.clamp_min(1e-300)).clamp(self.schedule.min_rate, self.schedule.max_rate)
        estimate = torch.where(before.isinf(), torch.inf, moved * rate / (1 - rate))
        error = torch.where(self.done[:, classes], self.error[:, classes], estimate)
        below = error <= self.tol
        self.error[:, classes], self.moved[:, classes] = error, moved
        self.done[:, classes] |= self.near[:, classes] & below
        self.near[:, classes] = below
        # One wait for the device.
        is_finite, finished = torch.stack([moved.isfinite().all(), self.done.all()]).tolist()
        if not is_finite:
            self.error.fill_(torch.inf)
            self.done.fill_(False)
        return is_finite, finished

    def worst(self) -> float:
        """The largest error."""
        return float(self.error.max())
