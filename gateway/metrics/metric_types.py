"""Counter, gauge and histogram, over numbers that are kept in files.

Not prometheus_client's own classes: those write where an environment variable points, never close
their files, and take four times as long (12.5 µs against 3.0 for what a command adds).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.mmap_dict import mmap_key
from prometheus_client.utils import floatToGoString

from gateway.metrics.multiprocess_slots import (
    COUNTER,
    HISTOGRAM,
    LIVE_SUM,
    KeptNumbers,
    MultiprocessSlot,
)

PREFIX = "sandbox_gateway_"


class Number:
    """One time series of this worker. Goes on from what is kept."""

    __slots__ = ("_kept", "_key", "_value")

    def __init__(self, kept: KeptNumbers, key: str) -> None:
        self._kept = kept
        self._key = key
        self._value = kept.read(key)

    def add(self, amount: float) -> None:
        self._value += amount
        self._kept.write(self._key, self._value)

    def reset(self) -> None:
        self._value = 0.0
        self._kept.write(self._key, 0.0)


class Counter:
    """Only grows. `values` of its labels are shown with 0 before anything was counted: what only
    appears at 1 has no rate."""

    def __init__(
        self,
        slot: MultiprocessSlot,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        values: Iterable[tuple[str, ...]] = ((),),
    ) -> None:
        self._kept = slot.kept[COUNTER]
        self._name = PREFIX + name
        self._text = text
        self._labels = labels
        self._numbers: dict[tuple[str, ...], Number] = {}
        for each in values:
            self._number(each)

    def add(self, amount: float, *labels: str) -> None:
        """Count `amount` more under these values of the labels."""
        number = self._numbers.get(labels) or self._number(labels)
        number.add(amount)

    def _number(self, labels: tuple[str, ...]) -> Number:
        key = mmap_key(
            self._name, f"{self._name}_total", list(self._labels), list(labels), self._text
        )
        number = self._numbers[labels] = Number(self._kept, key)
        return number


class LiveGauge:
    """What there is now, added up over the workers that are alive."""

    def __init__(self, slot: MultiprocessSlot, name: str, text: str) -> None:
        name = PREFIX + name
        self._number = Number(slot.kept[LIVE_SUM], mmap_key(name, name, [], [], text))
        # What the last worker in this place had went with it.
        self._number.reset()

    def add(self, amount: float) -> None:
        self._number.add(amount)


class Histogram:
    """How durations are spread, in seconds; without a label, or with one of these `values`."""

    def __init__(
        self,
        slot: MultiprocessSlot,
        name: str,
        text: str,
        bounds_s: Sequence[float],
        label: str | None = None,
        values: Iterable[str] = ("",),
    ) -> None:
        self._bounds = sorted(bounds_s)
        self._numbers = {
            value: self._numbers_of(slot.kept[HISTOGRAM], PREFIX + name, text, label, value)
            for value in values
        }

    def _numbers_of(
        self, kept: KeptNumbers, name: str, text: str, label: str | None, value: str
    ) -> tuple[Number, list[Number]]:
        names, values = ([], []) if label is None else ([label], [value])
        total = Number(kept, mmap_key(name, f"{name}_sum", names, values, text))
        buckets = [
            Number(
                kept,
                mmap_key(
                    name,
                    f"{name}_bucket",
                    [*names, "le"],
                    [*values, floatToGoString(bound)],
                    text,
                ),
            )
            for bound in [*self._bounds, float("inf")]
        ]
        return total, buckets

    def observe(self, seconds: float, value: str = "") -> None:
        """Count one duration."""
        total, buckets = self._numbers[value]
        total.add(seconds)
        # Each bucket has its own; they are summed up when they are read.
        buckets[bisect_left(self._bounds, seconds)].add(1)
