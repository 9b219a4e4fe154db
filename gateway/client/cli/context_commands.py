"""`context` and `completion`."""

from __future__ import annotations

import sys

import click

from . import contexts
from .invocation import Invocation, with_gateway


@click.group("context")
def context_command() -> None:
    """Gateways by name, in ~/.config/sandbox-gateway/config.toml."""


@context_command.command("ls")
@with_gateway
def ls(invocation: Invocation) -> None:
    """List them. That in use has a star. Keys are not shown."""
    known = contexts.load()
    if invocation.is_json:
        invocation.print_json(
            [
                {"name": name, "url": one.get("url"), "current": name == known.current}
                for name, one in sorted(known.known.items())
            ]
        )
        return
    rows = [
        ("*" if name == known.current else "", name, one.get("url"), "yes" if "key" in one else "")
        for name, one in sorted(known.known.items())
    ]
    invocation.print_table(("", "NAME", "URL", "KEY"), rows)


@context_command.command("set")
@click.option("--key-stdin", is_flag=True, help="Read the API key from what is piped in.")
@click.option("--use/--no-use", default=None, help="Use it from now on; the first one is used.")
@click.argument("name")
@click.argument("address", metavar="URL")
@with_gateway
def set_(
    invocation: Invocation, name: str, address: str, key_stdin: bool, use: bool | None
) -> None:
    """Note a gateway under NAME, with the key of GATEWAY_KEY or --key-stdin, if there is one."""
    import os

    from ..core.address import KEY_VARIABLE, Address

    if not contexts.NAME.fullmatch(name):
        raise click.UsageError(f"{name!r}: letters, digits, - and _ make a name")
    key = sys.stdin.readline().strip() if key_stdin else os.environ.get(KEY_VARIABLE, "")
    found = Address.of(address, key)
    known = contexts.load()
    known.known[name] = {"url": found.url} | ({"key": key} if key else {})
    if use or (use is None and known.current is None):
        known.current = name
    contexts.save(known)
    if invocation.is_json:
        invocation.print_json({"name": name, "url": found.url, "current": known.current == name})


@context_command.command("use")
@click.argument("name")
@with_gateway
def use(invocation: Invocation, name: str) -> None:
    """Use this one where no other is named."""
    known = _with(name)
    known.current = name
    contexts.save(known)
    if invocation.is_json:
        invocation.print_json({"current": name})


@context_command.command("rm")
@click.argument("name")
@with_gateway
def rm(invocation: Invocation, name: str) -> None:
    """Forget it, and its key."""
    known = _with(name)
    del known.known[name]
    if known.current == name:
        known.current = None
    contexts.save(known)
    if invocation.is_json:
        invocation.print_json({"removed": name})


def _with(name: str) -> contexts.Contexts:
    known = contexts.load()
    if name not in known.known:
        raise click.UsageError(f"there is no context {name!r}")
    return known


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print what completes words in a shell: eval "$(sgw completion bash)"."""
    from click.shell_completion import get_completion_class

    from .main import sgw

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(sgw, {}, "sgw", "_SGW_COMPLETE").source())
