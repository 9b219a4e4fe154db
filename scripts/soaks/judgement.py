"""Figures, what they must be, and the table that says whether they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Something measured and the most that it may be. None: not measured, which fails."""

    name: str
    value: float | None
    at_most: float
    unit: str = ""

    @property
    def passed(self) -> bool:
        return self.value is not None and self.value <= self.at_most


def table(figures: Sequence[Figure]) -> str:
    """A line per figure."""
    width = max(len(figure.name) for figure in figures)
    lines = []
    for figure in figures:
        value = "none" if figure.value is None else f"{figure.value:.1f}"
        verdict = "pass" if figure.passed else "FAIL"
        lines.append(
            f"{figure.name:<{width}}  {value:>9} {figure.unit:<4} "
            f"at most {figure.at_most:g} {figure.unit}: {verdict}"
        )
    return "\n".join(lines)
