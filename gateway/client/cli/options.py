"""Options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..core.sandbox_calls import SandboxOptions
from .invocation import pairs

F = TypeVar("F", bound=Callable[..., Any])

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_MIB = {"": 1.0, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0 * 1024}

_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", re.IGNORECASE)
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Mebibytes(click.ParamType[int]):
    """512, 512m or 2g: in MiB where no unit is given."""

    name = "SIZE"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no size like 512m or 2g", param, ctx)
        return round(float(found[1]) * _MIB[found[2].lower()])


class Seconds(click.ParamType[float]):
    """30, 30s, 5m, 2h or 1d: in seconds where no unit is given."""

    name = "TIME"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float | int):
            return float(value)
        found = _SPAN.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no time like 30s, 5m or 2h", param, ctx)
        return float(found[1]) * _SECONDS[found[2].lower()]


def creating(command: F) -> F:
    """What a sandbox may be made with; `sandbox_options` reads it."""
    for option in reversed(
        [
            click.option("--name", help="A name of its own, usable wherever its id is."),
            click.option("--image", help="What it is made from."),
            click.option("--snapshot", help="It begins with the files of this snapshot."),
            click.option("--cpus", type=float, help="CPU cores, for example 0.5."),
            click.option("--memory", type=Mebibytes(), help="For example 512m."),
            click.option("--disk", type=Mebibytes(), help="What it may write, for example 2g."),
            click.option("--pids", type=int, help="Processes and threads."),
            click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Environment."),
            click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="To find it."),
            click.option("--lifetime", type=Seconds(), help="It ends then, whatever happens."),
            click.option("--idle-timeout", type=Seconds(), help="It ends when unused so long."),
            click.option("--idle-action", type=click.Choice(["delete", "pause"])),
            click.option("--lifetime-action", type=click.Choice(["delete", "pause"])),
            click.option("--network", type=click.Choice(["bridge", "none"])),
            click.option("--isolation", type=click.Choice(["standard", "strict", "gvisor"])),
            click.option("--root", is_flag=True, help="With root, where the operator allows it."),
        ]
    ):
        command = option(command)
    return command


def sandbox_options(options: dict[str, Any]) -> SandboxOptions:
    """The body of a create, from what `creating` has read: taken out of `options`."""
    take = options.pop
    return SandboxOptions(
        name=take("name"),
        image=take("image"),
        snapshot=take("snapshot"),
        cpus=take("cpus"),
        memory_mb=take("memory"),
        disk_mb=take("disk"),
        pids=take("pids"),
        env=pairs(take("env"), "--env") or None,
        labels=pairs(take("label"), "--label") or None,
        timeout=take("lifetime"),
        idle_timeout=take("idle_timeout"),
        idle_action=take("idle_action"),
        timeout_action=take("lifetime_action"),
        network=take("network"),
        isolation=take("isolation"),
        root=take("root") or None,
    )
