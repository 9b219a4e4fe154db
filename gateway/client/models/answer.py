"""Dataclasses out of JSON."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union

A = TypeVar("A", bound="Answer")


class Answer:
    """Base of all that is read from an answer."""

    @classmethod
    def from_json(cls: type[A], found: Mapping[str, Any]) -> A:
        """Fields that are unknown are passed over; one that is missing has its default, or else is
        None: an older gateway does not know it."""
        values: dict[str, Any] = {}
        hashable: Any = cls
        for name, (hint, has_default) in _fields(hashable).items():
            if name in found:
                values[name] = _read(hint, found[name])
            elif not has_default:
                values[name] = None
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it; what is None and has a default is left out."""
        shown: dict[str, Any] = {}
        described: Any = self
        for field in dataclasses.fields(described):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            shown[field.name] = _write(value)
        return shown


@cache
def _fields(cls: Any) -> dict[str, tuple[Any, bool]]:
    hints = typing.get_type_hints(cls)
    return {
        field.name: (
            hints[field.name],
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
        if field.init
    }


def _read(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _read(next(one for one in inner if one is not type(None)), value)
    if origin in (list, tuple) and isinstance(value, list):
        read = [_read(inner[0], one) for one in value]
        return read if origin is list else tuple(read)
    if origin is dict and isinstance(value, Mapping):
        return {name: _read(inner[1], one) for name, one in value.items()}
    if isinstance(hint, type) and issubclass(hint, Answer) and isinstance(value, Mapping):
        return hint.from_json(value)
    return value


def _write(value: Any) -> Any:
    if isinstance(value, Answer):
        return value.to_json()
    if isinstance(value, list | tuple):
        return [_write(one) for one in value]
    if isinstance(value, dict):
        return {name: _write(one) for name, one in value.items()}
    return value
