"""`rm` and `prune`."""

from __future__ import annotations

import sys

import click

from .exit_status import FAILED, Ended, say
from .invocation import Invocation, complete_sandbox, pairs, with_gateway


@click.command("rm")
@click.option("-f", "--force", is_flag=True, help="One that is not there is no error.")
@click.argument(
    "sandboxes", metavar="SANDBOX…", nargs=-1, required=True, shell_complete=complete_sandbox
)
@with_gateway
def rm_command(invocation: Invocation, sandboxes: tuple[str, ...], force: bool) -> None:
    """Delete sandboxes, and all that runs in them. Each is tried; 255 if one was not deleted."""
    from ..api_error import ApiError
    from ..error_codes import SandboxNotFound

    deleted: list[str] = []
    has_failed = False
    for given in sandboxes:
        try:
            sandbox = invocation.sandbox(given)
            sandbox.delete()
        except SandboxNotFound as error:
            if not force:
                has_failed = True
                say(str(error))
            continue
        except ApiError as error:
            has_failed = True
            say(f"{given}: {error}")
            continue
        deleted.append(sandbox.id)
        if not invocation.is_json:
            click.echo(invocation.shown_id(sandbox.id))
    if invocation.is_json:
        invocation.print_json(deleted)
    raise Ended(FAILED if has_failed else 0)


@click.command("prune")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="Only those that have it.")
@click.option("--all", "everything", is_flag=True, help="Those in use, too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@with_gateway
def prune_command(
    invocation: Invocation, label: tuple[str, ...], everything: bool, yes: bool
) -> None:
    """Delete the sandboxes that nobody is connected to and in which no command runs.

    It asks first; where there is no terminal to ask, it needs --yes.
    """
    found = invocation.gateway.sandboxes(labels=pairs(label, "--label"))
    chosen = [one for one in found if everything or one.status in ("idle", "paused")]
    if chosen and not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise click.UsageError(f"{len(chosen)} sandboxes would be deleted: say --yes")
        click.confirm(f"Delete {len(chosen)} sandboxes?", abort=True, err=True)
    from ..error_codes import SandboxNotFound

    for one in chosen:
        try:
            invocation.gateway.sandbox(one.sandbox_id).delete()
        except SandboxNotFound:
            pass  # it has ended meanwhile
        if not invocation.is_json:
            click.echo(invocation.shown_id(one.sandbox_id))
    if invocation.is_json:
        invocation.print_json([one.sandbox_id for one in chosen])
