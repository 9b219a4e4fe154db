"""`snapshot`, `fork`, `restore`, `diff`."""

from __future__ import annotations

from typing import Any

import click

from ..models.snapshots import Snapshot
from .exit_status import FAILED, Ended, say
from .invocation import Invocation, pairs, sandbox_argument, with_gateway
from .options import creating, sandbox_options
from .sandbox_commands import age_of


@click.group("snapshot")
def snapshot_command() -> None:
    """Take, list and delete snapshots: all files of a sandbox, as they were at one moment."""


@snapshot_command.command("create")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="To find it again by.")
@sandbox_argument()
@click.argument("name", required=False)
@with_gateway
def create(invocation: Invocation, sandbox: str, name: str | None, label: tuple[str, ...]) -> None:
    """Take one, with a NAME if you like. Running commands go on."""
    taken = invocation.sandbox(sandbox).snapshots.create(name, pairs(label, "--label") or None)
    _print_one(invocation, taken)


def _print_one(invocation: Invocation, taken: Snapshot) -> None:
    if invocation.is_json:
        invocation.print_json(taken.to_json())
    else:
        click.echo(taken.snapshot_id)


@snapshot_command.command("ls")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="Only those that have it.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@sandbox_argument(required=False)
@with_gateway
def ls(invocation: Invocation, sandbox: str | None, label: tuple[str, ...], quiet: bool) -> None:
    """List all snapshots, or those of one sandbox."""
    found = invocation.gateway.snapshots.list(sandbox=sandbox, labels=pairs(label, "--label"))
    if invocation.is_json:
        invocation.print_json([one.to_json() for one in found])
    elif quiet:
        for one in found:
            click.echo(one.snapshot_id)
    else:
        invocation.print_table(
            ("ID", "NAME", "SANDBOX", "MIB", "KIND", "AGE"),
            [
                (
                    invocation.shown_id(one.snapshot_id),
                    one.name,
                    invocation.shown_id(one.sandbox_id),
                    f"{one.size_bytes / 1048576:.1f}",
                    one.kind,
                    age_of(one.created_at),
                )
                for one in found
            ],
        )


@snapshot_command.command("rm")
@click.argument("snapshots", metavar="SNAPSHOT…", nargs=-1, required=True)
@with_gateway
def rm(invocation: Invocation, snapshots: tuple[str, ...]) -> None:
    """Delete snapshots, by id, name, or the beginning of an id."""
    deleted = []
    for given in snapshots:
        found = _snapshot(invocation, given)
        invocation.gateway.snapshots.delete(found)
        deleted.append(found)
        if not invocation.is_json:
            click.echo(given)
    if invocation.is_json:
        invocation.print_json(deleted)


def _snapshot(invocation: Invocation, given: str) -> str:
    """Its id: by id, name, or the beginning of an id. Raises SnapshotNotFound, UsageError."""
    from ..error_codes import SnapshotNotFound

    try:
        return invocation.gateway.snapshots.get(given).snapshot_id
    except SnapshotNotFound:
        ids = [one.snapshot_id for one in invocation.gateway.snapshots.list()]
        fitting = [one for one in ids if one.startswith(given)]
        if len(fitting) > 1:
            raise click.UsageError(
                f"{given!r} is the beginning of {len(fitting)} snapshots"
            ) from None
        if not fitting:
            raise
        return fitting[0]


@click.command("fork")
@click.option("-n", "--count", type=click.IntRange(1, 64), default=1, help="How many copies.")
@creating
@sandbox_argument()
@with_gateway
def fork_command(invocation: Invocation, sandbox: str, count: int, **options: Any) -> None:
    """Make copies of a sandbox with the files of one moment. 255 if one could not be made."""
    from ..api_error import ApiError

    made = invocation.sandbox(sandbox).fork(count, **sandbox_options(options))
    failed = [one for one in made if isinstance(one, ApiError)]
    if invocation.is_json:
        invocation.print_json(
            [
                {"error": one.problem} if isinstance(one, ApiError) else {"sandbox_id": one.id}
                for one in made
            ]
        )
    else:
        for one in made:
            if isinstance(one, ApiError):
                say(str(one))
            else:
                click.echo(one.id)
    raise Ended(FAILED if failed else 0)


@click.command("restore")
@sandbox_argument()
@click.argument("snapshot")
@with_gateway
def restore_command(invocation: Invocation, sandbox: str, snapshot: str) -> None:
    """Bring a sandbox back to a snapshot's files. What runs in it ends."""
    found = invocation.sandbox(sandbox).restore(_snapshot(invocation, snapshot))
    if invocation.is_json:
        invocation.print_json(found.to_json())
    else:
        click.echo(invocation.shown_id(found.sandbox_id))


@click.command("diff")
@click.option("--since", metavar="SNAPSHOT", help="Against this one, in the place of the image.")
@sandbox_argument()
@with_gateway
def diff_command(invocation: Invocation, sandbox: str, since: str | None) -> None:
    """What a sandbox's files have gained (A), changed (M) and lost (D)."""
    named = None if since is None else _snapshot(invocation, since)
    found = invocation.sandbox(sandbox).changes(named)
    if invocation.is_json:
        invocation.print_json(found.to_json())
        return
    marked = [
        (path, mark)
        for mark, paths in (("A", found.added), ("M", found.modified), ("D", found.deleted))
        for path in paths
    ]
    for path, mark in sorted(marked):
        click.echo(f"{mark} {path}")
    if found.truncated:
        say("there are more than are named")
