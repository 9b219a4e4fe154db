"""One definition drives what becomes of an option: stored, labelled, pooled, shown."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from gateway.sandboxes.spec.sandbox_spec import (
    OPTIONS,
    SandboxSpec,
    fixed_in_the_pool,
    labelled,
    option_of,
    recalled,
    shown,
    stored,
)
from gateway.schemas.models import Sandbox, SandboxCreate
from gateway.store.rows import SandboxRow
from tests.support.rows import row_of

USUAL = SandboxSpec(
    image="image",
    isolation="standard",
    network="bridge",
    cpus=1.0,
    memory_mb=512,
    pids=64,
    disk_mb=1024,
    file_size_mb=10,
    env={},
    labels={},
    timeout_s=None,
    idle_timeout_s=3600.0,
    idle_action="delete",
)
OTHER: dict[str, Any] = {
    "image": "another",
    "isolation": "strict",
    "network": "none",
    "cpus": 0.5,
    "memory_mb": 64,
    "pids": 32,
    "disk_mb": None,
    "file_size_mb": 20,
    "env": {"A": "b"},
    "labels": {"team": "blue"},
    "timeout_s": 60.0,
    "idle_timeout_s": 30.0,
    "idle_action": "pause",
    "name": "build-7",
    "snapshot": "0c9a3e5b7d1f4c62a8e0b4d6f8123456",
    "root": True,
    "timeout_action": "pause",
    "notes": {"made_by": "another surface"},
}
"""For each field another value than the usual one."""


def test_every_option_has_its_places() -> None:
    """A field that has no column, or that clients are not told of, would be lost silently."""
    assert OTHER.keys() == OPTIONS.keys() == {one.name for one in fields(SandboxSpec)}
    for name, option in OPTIONS.items():
        has_column = name in SandboxRow.__dataclass_fields__
        assert has_column == (option.stored == "column"), name
        if option.stored == "json":
            declared = SandboxSpec.__dataclass_fields__[name]
            assert (declared.default, declared.default_factory) != (MISSING, MISSING), name
        assert not option.is_shown or option.called in Sandbox.model_fields, name
    asked = {option.called for option in OPTIONS.values()} - {"file_size_mb", "notes"}
    assert asked == {*SandboxCreate.model_fields}


@pytest.mark.parametrize("name", [name for name in OTHER if OPTIONS[name].stored != "no"])
def test_a_label_brings_it_back(name: str) -> None:
    """As JSON, through the engine: the store may be lost."""
    spec = replace(USUAL, **{name: OTHER[name]})
    assert recalled(json.loads(json.dumps(labelled(spec))), USUAL) == spec


def test_an_option_without_a_column_is_stored_among_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It needs no change of the tables; rows from before it was there have its default."""
    assert stored(USUAL)["options"] == {}
    monkeypatch.setitem(OPTIONS, "name", replace(OPTIONS["name"], stored="json"))
    spec = replace(USUAL, name="build-7")
    row, older = row_of(options=stored(spec)["options"]), row_of(options={})

    assert stored(spec).keys() == {*stored(USUAL)}
    assert stored(spec)["options"] == {"name": "build-7"}
    assert (option_of(spec, "name"), option_of(row, "name")) == ("build-7", "build-7")
    assert option_of(older, "name") is None
    assert (shown(row)["name"], shown(older)["name"]) == ("build-7", None)
    assert recalled(json.loads(json.dumps(labelled(row))), USUAL).name == "build-7"


def test_what_a_label_does_not_say_is_the_default() -> None:
    """Labels of earlier versions say less; some say nothing where something must be."""
    assert recalled({}, USUAL) == USUAL
    assert recalled({"owner": "x", "image": "", "cpus": 0, "labels": None}, USUAL) == USUAL


@pytest.mark.parametrize("name", OTHER)
def test_the_pool_knows_what_it_can_give(name: str) -> None:
    """What can neither be changed on a running container nor noted must be the same."""
    fixed = fixed_in_the_pool(replace(USUAL, **{name: OTHER[name]}))
    expected = {"fixed": True, "adjusted": False, "given": False, "unpooled": True}
    assert (fixed != fixed_in_the_pool(USUAL)) is expected[OPTIONS[name].pooled]
    assert (fixed is None) is (OPTIONS[name].pooled == "unpooled")


def test_the_pool_of_an_earlier_run_is_taken_over() -> None:
    """The order of the fixed values is part of the pool's key."""
    assert fixed_in_the_pool(USUAL) == ("image", "standard", "bridge", 1024, 10, None, False)


def test_clients_are_shown_their_own_words() -> None:
    told = shown(replace(USUAL, timeout_s=60.0))
    assert (told["timeout"], told["idle_timeout"]) == (60.0, 3600.0)
    assert not {"env", "file_size_mb", "timeout_s"} & told.keys()
