"""`events`, `stats`, `top`."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import click

from ..models.sandboxes import Event, SandboxInfo, SandboxStats
from .invocation import Invocation, complete_sandbox, sandbox_argument, with_gateway

_AT_A_TIME = 8
"""Of questions for stats, which take about a second each."""


@click.command("events")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens.")
@click.option("--after", type=int, metavar="ID", help="Since this event.")
@sandbox_argument(required=False)
@with_gateway
def events_command(
    invocation: Invocation, sandbox: str | None, follow: bool, after: int | None
) -> None:
    """What has happened to all sandboxes or to one, oldest first; for days after its end, too.

    With -f those of one sandbox end with it, and those of all begin now. -o json prints one event
    per line.
    """
    source: Any = invocation.gateway if sandbox is None else invocation.sandbox(sandbox)
    found = source.follow_events(after=after) if follow else source.events(after=after)
    for event in found:
        _print_event(invocation, event)


def _print_event(invocation: Invocation, event: Event) -> None:
    if invocation.is_json:
        import json

        click.echo(json.dumps(event.to_json(), ensure_ascii=False))
    else:
        at = datetime.fromtimestamp(event.at).isoformat(" ", "seconds")
        known = ("id", "sandbox_id", "at", "event")
        more = [f"{name}={value}" for name, value in event.data.items() if name not in known]
        line = " ".join([at, invocation.shown_id(event.sandbox_id), event.event, *more])
        click.echo(line)
    sys.stdout.flush()


@click.command("stats")
@click.argument("sandboxes", metavar="[SANDBOX…]", nargs=-1, shell_complete=complete_sandbox)
@with_gateway
def stats_command(invocation: Invocation, sandboxes: tuple[str, ...]) -> None:
    """What sandboxes use now; without a name: all."""
    ids = [invocation.sandbox(given).id for given in sandboxes]
    found = _stats(invocation, ids or _living(invocation))
    if invocation.is_json:
        invocation.print_json([{"sandbox_id": one, **stats.to_json()} for one, stats in found])
    else:
        _print_stats(invocation, found)


@click.command("top")
@click.option("-d", "--delay", type=float, default=2.0, help="Seconds between two looks.")
@click.option("-n", "--times", type=int, help="How often; else until Ctrl-C.")
@with_gateway
def top_command(invocation: Invocation, delay: float, times: int | None) -> None:
    """What all sandboxes use, again and again, the busiest first. Where nobody looks: once."""
    left = times if times is not None else (-1 if invocation.is_for_people else 1)
    while left:
        found = _stats(invocation, _living(invocation))
        found.sort(key=lambda one: -one[1].cpu.cores)
        if invocation.is_json:
            invocation.print_json([{"sandbox_id": one, **stats.to_json()} for one, stats in found])
        else:
            if invocation.is_for_people:
                click.clear()
            _print_stats(invocation, found)
        left -= 1
        if left:
            sys.stdout.flush()
            time.sleep(delay)


def _living(invocation: Invocation) -> list[str]:
    def can_be_asked(one: SandboxInfo) -> bool:
        return one.status != "starting"

    return [one.sandbox_id for one in invocation.gateway.sandboxes() if can_be_asked(one)]


def _stats(invocation: Invocation, ids: list[str]) -> list[tuple[str, SandboxStats]]:
    from ..error_codes import SandboxNotFound

    gateway = invocation.gateway

    def ask(sandbox_id: str) -> tuple[str, SandboxStats] | None:
        try:
            return sandbox_id, gateway.sandbox(sandbox_id).stats()
        except SandboxNotFound:
            return None  # it has ended meanwhile

    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        return [one for one in threads.map(ask, ids) if one is not None]


def _print_stats(invocation: Invocation, found: list[tuple[str, SandboxStats]]) -> None:
    rows = []
    for sandbox_id, stats in found:
        disk = "" if stats.disk_bytes is None else _mib(stats.disk_bytes.used)
        rows.append(
            (
                invocation.shown_id(sandbox_id),
                f"{stats.cpu.cores:.2f}",
                f"{stats.cpu.limit:g}",
                _mib(stats.memory_bytes.used),
                _mib(stats.memory_bytes.limit),
                f"{stats.pids.used:.0f}",
                disk,
                _mib(stats.network.received_bytes),
                _mib(stats.network.sent_bytes),
            )
        )
    heads = ("ID", "CPU", "OF", "MIB", "OF", "PIDS", "DISK MIB", "NET IN MIB", "NET OUT MIB")
    invocation.print_table(heads, rows)


def _mib(size: float | None) -> str:
    return "" if size is None else f"{size / 1048576:.1f}"
