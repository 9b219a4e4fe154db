"""Ratios between subjects, and what they must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

from .rounds import Series


@dataclass(frozen=True)
class Target:
    """A percentile of one subject divided by that of another, and its limit if it has one.

    Without a denominator it is the percentile itself, in milliseconds: of the machine, not of the
    code alone.
    """

    numerator: str
    denominator: str | None
    bound: Literal["at least", "at most"] = "at most"
    limit: float | None = None
    percent: float = 50
    """Which percentile is meant."""


@dataclass(frozen=True)
class Verdict:
    """A target's ratio: over all samples, and the median of the ratios of each round.

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
    over_all, by_round = above.percentile(target.percent), above.percentiles(target.percent)
    if below is None:
        return Verdict(target, over_all * 1000, median(by_round) * 1000)
    others = below.percentiles(target.percent)
    return Verdict(
        target,
        over_all=over_all / below.percentile(target.percent),
        median_of_rounds=median(one / other for one, other in zip(by_round, others, strict=True)),
    )
