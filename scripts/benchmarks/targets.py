"""Ratios between subjects, and what they must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

from .rounds import Series


@dataclass(frozen=True)
class Target:
    """The p50 of one subject divided by that of another, and its limit if it has one.

    Without a denominator it is the p50 itself, in milliseconds: of the machine, not of the code
    alone.
    """

    numerator: str
    denominator: str | None
    bound: Literal["at least", "at most"] = "at most"
    limit: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A target's ratio: p50 over all samples, and the median of the ratios of each round.

    The first is what a user sees. The second stays the same when the machine was busy during some
    of the rounds; where the two differ much, the run says little.
    """

    target: Target
    over_all: float
    median_of_rounds: float

    @property
    def passed(self) -> bool | None:
        """Whether both ratios keep the limit; None without a limit."""
        limit = self.target.limit
        if limit is None:
            return None
        if self.target.bound == "at least":
            return min(self.over_all, self.median_of_rounds) >= limit
        return max(self.over_all, self.median_of_rounds) <= limit


def judge(targets: Iterable[Target], series: Mapping[str, Series]) -> list[Verdict]:
    """The verdict on every target whose two subjects were measured."""
    return [
        _verdict(
            target,
            series[target.numerator],
            None if target.denominator is None else series[target.denominator],
        )
        for target in targets
        if target.numerator in series
        and (target.denominator is None or target.denominator in series)
    ]


def _verdict(target: Target, above: Series, below: Series | None) -> Verdict:
    if below is None:
        return Verdict(
            target,
            over_all=above.percentile(50) * 1000,
            median_of_rounds=median(above.medians()) * 1000,
        )
    by_round = zip(above.medians(), below.medians(), strict=True)
    return Verdict(
        target,
        over_all=above.percentile(50) / below.percentile(50),
        median_of_rounds=median(one / other for one, other in by_round),
    )
