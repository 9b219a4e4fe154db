"""Commands that make, show and change sandboxes."""

from __future__ import annotations

import time
from typing import Any

import click

from ..models.sandboxes import SandboxInfo
from .invocation import Invocation, complete_sandbox, pairs, sandbox_argument, with_gateway
from .options import creating, sandbox_options


@click.command("create")
@creating
@with_gateway
def create_command(invocation: Invocation, **options: Any) -> None:
    """Make a sandbox, and print its id. It stays until it is deleted, or was idle for an hour."""
    asked = sandbox_options(options)
    made = invocation.gateway.create(**asked)
    if invocation.is_json:
        shown = {"sandbox_id": made.id, "status": "created", "name": asked.get("name")}
        if made.access_token:
            shown["access_token"] = made.access_token
        invocation.print_json(shown)
    elif invocation.is_for_people:
        named = asked.get("name") or made.id[:12]
        click.echo(f"{made.id}\n\nOpen a shell in it: sgw shell {named}")
    else:
        click.echo(made.id)


@click.command("ls")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="Only those that have it.")
@click.option("--status", type=click.Choice(["starting", "idle", "connected", "paused"]))
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@with_gateway
def ls_command(
    invocation: Invocation, label: tuple[str, ...], status: str | None, quiet: bool
) -> None:
    """List sandboxes, oldest first."""
    found = invocation.gateway.sandboxes(status=status, labels=pairs(label, "--label"))
    if invocation.is_json:
        invocation.print_json([one.to_json() for one in found])
    elif quiet:
        for one in found:
            click.echo(one.sandbox_id)
    else:
        invocation.print_table(
            ("ID", "NAME", "STATUS", "IMAGE", "AGE", "LABELS"),
            [_row(invocation, one) for one in found],
        )


def _row(invocation: Invocation, one: SandboxInfo) -> tuple[str | None, ...]:
    labels = ",".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
    age = age_of(one.created_at)
    return invocation.shown_id(one.sandbox_id), one.name, one.status, one.image, age, labels


def age_of(at: float) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(0, int(time.time() - at))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


@click.command("show")
@sandbox_argument()
@with_gateway
def show_command(invocation: Invocation, sandbox: str) -> None:
    """Show a sandbox. Of one that has ended it is said why, and the status is 255."""
    found = invocation.sandbox(sandbox).info()
    if invocation.is_json:
        invocation.print_json(found.to_json())
        return
    for name, value in found.to_json().items():
        shown = ", ".join(f"{k}={v}" for k, v in value.items()) if name == "labels" else value
        click.echo(f"{name}: {'' if shown is None else shown}".rstrip())


@click.command("pause")
@click.argument(
    "sandboxes", metavar="SANDBOX…", nargs=-1, required=True, shell_complete=complete_sandbox
)
@with_gateway
def pause_command(invocation: Invocation, sandboxes: tuple[str, ...]) -> None:
    """Stop all processes of sandboxes where they are. Whoever uses one resumes it."""
    _each_changed(invocation, sandboxes, "pause")


@click.command("resume")
@click.argument(
    "sandboxes", metavar="SANDBOX…", nargs=-1, required=True, shell_complete=complete_sandbox
)
@with_gateway
def resume_command(invocation: Invocation, sandboxes: tuple[str, ...]) -> None:
    """Let the processes of paused sandboxes go on."""
    _each_changed(invocation, sandboxes, "resume")


def _each_changed(invocation: Invocation, sandboxes: tuple[str, ...], verb: str) -> None:
    found = []
    for given in sandboxes:
        sandbox = invocation.sandbox(given)
        found.append(sandbox.pause() if verb == "pause" else sandbox.resume())
        if not invocation.is_json:
            click.echo(f"{invocation.shown_id(sandbox.id)} {found[-1].status}")
    if invocation.is_json:
        invocation.print_json([one.to_json() for one in found])
