"""The outcome of a benchmark, as a text table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .rounds import Series
from .targets import Verdict

PERCENTS = (50, 95, 99)


@dataclass(frozen=True)
class Outcome:
    """All that a run found out, and how."""

    benchmark: str
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    series: Mapping[str, Series]
    verdicts: Sequence[Verdict]


def as_json(outcome: Outcome) -> str:
    """One object; durations in milliseconds."""
    return json.dumps(
        {
            "benchmark": outcome.benchmark,
            "settings": outcome.settings,
            "machine": outcome.machine,
            "subjects": {name: _figures(one) for name, one in outcome.series.items()},
            "ratios": {_name(verdict): _ratio(verdict) for verdict in outcome.verdicts},
        },
        indent=2,
    )


def _figures(series: Series) -> dict[str, Any]:
    figures: dict[str, Any] = {"about": series.about, "samples": len(series.all())}
    for percent in PERCENTS:
        figures[f"p{percent}_ms"] = round(series.percentile(percent) * 1000, 4)
    figures["p50_ms_of_rounds"] = [round(median * 1000, 4) for median in series.medians()]
    return figures


def _name(verdict: Verdict) -> str:
    target = verdict.target
    percentile = "" if target.percent == 50 else f" p{target.percent:g}"
    if target.denominator is None:
        return f"{target.numerator}{percentile}, ms"
    return f"{target.numerator} / {target.denominator}{percentile}"


def _ratio(verdict: Verdict) -> dict[str, Any]:
    ratio: dict[str, Any] = {
        "over_all": round(verdict.over_all, 3),
        "median_of_rounds": round(verdict.median_of_rounds, 3),
    }
    if verdict.target.limit is not None:
        ratio["target"] = {verdict.target.bound.replace(" ", "_"): verdict.target.limit}
        ratio["passed"] = verdict.passed
    return ratio


def as_text(outcome: Outcome) -> str:
    """Two tables: durations, then ratios with what they must be."""
    machine = outcome.machine
    load = " ".join(f"{value:.2f}" for value in machine["load"])
    if machine["load"][0] > machine["cores"] / 2:
        load += " (busy: look at the ratios)"
    lines = [
        f"{outcome.benchmark} on {machine['cores']} cores, {machine['cpu']}; load before: {load}",
        f"kernel {machine['kernel']}, engine {machine['engine']}, Python {machine['python']}",
        "",
        f"{'ms':<12}{'samples':>8}" + "".join(f"{f'p{percent}':>9}" for percent in PERCENTS),
    ]
    for one in outcome.series.values():
        values = "".join(f"{one.percentile(percent) * 1000:>9.2f}" for percent in PERCENTS)
        lines.append(f"{one.name:<12}{len(one.all()):>8}{values}   {one.about}")
    lines += ["", f"{'ratio of p50':<32}{'all':>8}{'rounds':>9}   target"]
    for verdict in outcome.verdicts:
        values = f"{verdict.over_all:>8.2f}{verdict.median_of_rounds:>9.2f}"
        lines.append(f"{_name(verdict):<32}{values}   {_judgement(verdict)}")
    return "\n".join(lines)


def _judgement(verdict: Verdict) -> str:
    target = verdict.target
    if target.limit is None:
        return "none"
    return f"{target.bound} {target.limit:g}: {'pass' if verdict.passed else 'FAIL'}"
