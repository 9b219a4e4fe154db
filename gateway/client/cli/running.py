"""`run`, `exec` and `shell`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ..core.command_calls import CommandOptions
from .exit_status import Ended, say
from .invocation import Invocation, pairs, sandbox_argument, with_gateway
from .options import Seconds, creating, sandbox_options
from .run_here import open_shell, run_lines, run_words

if TYPE_CHECKING:
    pass

_ARGUMENTS = {"allow_interspersed_args": False, "ignore_unknown_options": False}


def _running(command: Any) -> Any:
    """What a command may be given; `_command_options` reads it."""
    for option in reversed(
        [
            click.option(
                "-i",
                "--interactive",
                is_flag=True,
                help="Input stays open (it always is passed on when it is piped).",
            ),
            click.option("-t", "--tty", is_flag=True, help="On a terminal, where there is one."),
            click.option("-w", "--workdir", metavar="DIR", help="Where it runs."),
            click.option("-u", "--user", help="As whom: user, or root where that is allowed."),
            click.option("--time-limit", type=Seconds(), help="It is ended then, with 124."),
            click.option("--session", metavar="NAME", help="In a shell that keeps its state."),
            click.option("--request-id", metavar="ID", help="Its name, to find it again by."),
            click.option("--checkpoint", is_flag=True, help="Take a snapshot before."),
        ]
    ):
        command = option(command)
    return command


def _command_options(options: dict[str, Any], env: dict[str, str]) -> CommandOptions:
    asked = CommandOptions(
        cwd=options["workdir"],
        user=options["user"],
        timeout=options["time_limit"],
        session=options["session"],
        request_id=options["request_id"],
        checkpoint=options["checkpoint"],
    )
    if env:
        asked["env"] = env
    return asked


def _words(given: tuple[str, ...]) -> list[str]:
    """What stands behind `--`, or behind the sandbox. Raises UsageError."""
    if given[:1] == ("--",):
        return list(given[1:])
    if given and given[0].startswith("-") and "--" in given:
        raise click.UsageError("options of sgw stand before the sandbox")
    return list(given)


def _utf8(words: tuple[str, ...]) -> list[str]:
    """As they were typed, whatever the locale makes of them. Raises UsageError."""
    try:
        return [os.fsencode(word).decode("utf-8") for word in words]
    except UnicodeDecodeError:
        raise click.UsageError("a command must be UTF-8") from None


@click.command("exec", context_settings=_ARGUMENTS)
@_running
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Environment.")
@click.option("-d", "--detach", is_flag=True, help="Start it, print its name, and go on.")
@click.option(
    "--shell", is_flag=True, help="Each argument is a line for the shell, one after the other."
)
@click.option("--attach", metavar="REQUEST_ID", hidden=True)
@sandbox_argument()
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@with_gateway
def exec_command(
    invocation: Invocation,
    sandbox: str,
    command: tuple[str, ...],
    env: tuple[str, ...],
    detach: bool,
    shell: bool,
    attach: str | None,
    **options: Any,
) -> None:
    """Run a command in a sandbox: sgw exec SANDBOX -- COMMAND [ARGUMENT…].

    The arguments reach the command as they are; for pipes and variables run a shell:
    sgw exec SANDBOX -- sh -c 'ls | wc -l'. Ctrl-C interrupts the command, a second one leaves it.
    """
    words = _words(command)
    # Options of sgw that stand behind the sandbox, as `--attach` of the older scripts/run did.
    if shell:
        words, attach, invocation = _late_options(words, attach, invocation)
    if bool(words) == bool(attach):
        raise click.UsageError("a command is missing: sgw exec SANDBOX -- COMMAND")
    if attach:
        from .following import attached

        raise Ended(attached(invocation, sandbox, attach, leaves_at_once=True))
    words = _utf8(tuple(words))
    asked = _command_options(options, pairs(env, "--env"))
    found = invocation.sandbox(sandbox)
    if shell:
        raise Ended(run_lines(invocation, found, words, asked))
    if detach:
        asked["interactive"] = options["interactive"]
        handle = found.commands.start(words, **asked)
        if invocation.is_json:
            invocation.print_json({"request_id": handle.request_id, "pid": handle.pid})
        else:
            click.echo(handle.request_id)
        return
    status, _ = run_words(
        invocation,
        found,
        words,
        asked,
        wants_terminal=options["tty"],
        wants_input=options["interactive"],
    )
    raise Ended(status)


def _late_options(
    words: list[str], attach: str | None, invocation: Invocation
) -> tuple[list[str], str | None, Invocation]:
    kept: list[str] = []
    while words:
        word = words.pop(0)
        if word in ("--attach", "--url") and words:
            value = words.pop(0)
            if word == "--attach":
                attach = value
            else:
                invocation = Invocation(value, None, "json" if invocation.is_json else None)
        else:
            kept.append(word)
    return kept, attach, invocation


@click.command("run", context_settings=_ARGUMENTS)
@creating
@_running
@click.option("--keep", is_flag=True, help="Keep the sandbox, and say how to come back.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@with_gateway
def run_command(
    invocation: Invocation, command: tuple[str, ...], keep: bool, **options: Any
) -> None:
    """Run a command in a sandbox of its own, which is deleted afterwards: sgw run -- COMMAND.

    Without a command it is a shell. Ctrl-C interrupts the command; a second one leaves it, and the
    sandbox stays.
    """
    words = _utf8(tuple(_words(command)))
    asked = _command_options(options, {})
    made = invocation.gateway.create(**sandbox_options(options))
    goes_on = False
    try:
        if not words:
            status, goes_on = open_shell(made, asked)
        else:
            status, goes_on = run_words(
                invocation,
                made,
                words,
                asked,
                wants_terminal=options["tty"],
                wants_input=options["interactive"],
            )
    finally:
        if keep or goes_on:
            say(f"the sandbox stays: sgw shell {made.id}; to delete it: sgw rm {made.id}")
        else:
            made.delete()
    raise Ended(status)


@click.command("shell")
@click.option("-u", "--user", help="As whom: user, or root where that is allowed.")
@click.option("--name", metavar="NAME", help="Of the terminal: who gives it too shares it.")
@sandbox_argument()
@with_gateway
def shell_command(invocation: Invocation, sandbox: str, user: str | None, name: str | None) -> None:
    """Open a shell in a sandbox. Ctrl-P Ctrl-Q leaves it running.

    Without a terminal it reads commands from its input.
    """
    asked = CommandOptions(user=user, request_id=name)
    raise Ended(open_shell(invocation.sandbox(sandbox), asked)[0])
