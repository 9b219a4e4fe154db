"""Subjects measured in interleaved rounds, and the samples they give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Subject:
    """One of the things that are compared.

    `sample(count)` measures `count` times and returns the durations, in seconds.
    """

    name: str
    about: str
    sample: Callable[[int], list[float]]
    per_round: int


@dataclass
class Series:
    """The durations of one subject, in seconds, round by round."""

    name: str
    about: str
    rounds: list[list[float]] = field(default_factory=list)

    def all(self) -> list[float]:
        """Every sample, in the order in which they were taken."""
        return [sample for samples in self.rounds for sample in samples]

    def percentile(self, percent: float) -> float:
        """Over all samples, in seconds."""
        return percentile(self.all(), percent)

    def medians(self) -> list[float]:
        """The median of each round, in seconds."""
        return [median(samples) for samples in self.rounds]

    def percentiles(self, percent: float) -> list[float]:
        """A percentile of each round, in seconds."""
        return [percentile(samples, percent) for samples in self.rounds]


def percentile(samples: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the samples lie, interpolated between neighbours.

    With fewer than 100 / (100 - percent) samples it tends to the largest one.
    """
    ordered = sorted(samples)
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def measure(
    subjects: Sequence[Subject], rounds: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Sample all subjects in each of `rounds` rounds; the series by name.

    Every round begins with another subject, so that none always follows the same one. `say` gets
    a line of progress per round.
    """
    found = {subject.name: Series(subject.name, subject.about) for subject in subjects}
    for number in range(rounds):
        for subject in _rotated(subjects, number):
            found[subject.name].rounds.append(subject.sample(subject.per_round))
        latest = ", ".join(
            f"{series.name} {series.medians()[-1] * 1000:.2f}" for series in found.values()
        )
        say(f"round {number + 1} of {rounds}: p50 in ms: {latest}")
    return found


def _rotated(subjects: Sequence[Subject], by: int) -> Iterable[Subject]:
    start = by % len(subjects)
    return [*subjects[start:], *subjects[:start]]
