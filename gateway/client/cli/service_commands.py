"""`token`, `api`, `doctor`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .exit_status import FAILED, STDOUT, Ended, write
from .invocation import Invocation, sandbox_argument, with_gateway


@click.command("token")
@click.option("--revoke", is_flag=True, help="End all that were issued for it.")
@sandbox_argument()
@with_gateway
def token_command(invocation: Invocation, sandbox: str, revoke: bool) -> None:
    """Issue an access token, which opens one sandbox, for somebody without a key."""
    found = invocation.sandbox(sandbox)
    if revoke:
        found.revoke_tokens()
        if invocation.is_json:
            invocation.print_json({"revoked": True})
        return
    issued = found.issue_token()
    if invocation.is_json:
        invocation.print_json(issued.to_json())
    else:
        click.echo(issued.access_token)


@click.command("api")
@click.option("-d", "--data", help="The body: JSON, @FILE, or - for what is piped in.")
@click.argument("method")
@click.argument("path")
@with_gateway
def api_command(invocation: Invocation, method: str, path: str, data: str | None) -> None:
    """Send any request of the API: sgw api GET /sandboxes. Prints the body of the answer."""
    if not path.startswith("/"):
        raise click.UsageError("a path begins with /")
    answer = invocation.gateway.request(method, path, None if data is None else _json(data))
    if invocation.is_json or (invocation.is_for_people and _is_json(answer.headers)):
        invocation.print_json(json.loads(answer.body) if answer.body else None)
    else:
        write(STDOUT, answer.body)


def _is_json(headers: Any) -> bool:
    kind = str(headers.get("content-type", "")).split(";")[0]
    return kind == "application/json" or kind.endswith("+json")


def _json(given: str) -> Any:
    try:
        if given == "-":
            given = sys.stdin.read()
        elif given.startswith("@"):
            given = Path(given[1:]).read_text(encoding="utf-8")
        return json.loads(given)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--data: {error}") from None


@click.command("doctor")
@click.option("--create", is_flag=True, help="Make a sandbox too, run a command, delete it.")
@with_gateway
def doctor_command(invocation: Invocation, create: bool) -> None:
    """Check what is between here and a sandbox. 255 if something does not work."""
    from ..api_error import SandboxGatewayError

    checks: list[dict[str, Any]] = []

    def check(name: str, work: Callable[[], str]) -> bool:
        begun = time.monotonic()
        works = False
        try:
            detail = work()
            works = True
        except SandboxGatewayError as error:
            detail = str(error)
        ms = round((time.monotonic() - begun) * 1000)
        checks.append({"check": name, "ok": works, "detail": detail, "ms": ms})
        if not invocation.is_json:
            click.echo(f"{'ok  ' if works else 'FAIL'} {name}: {detail} ({ms} ms)")
        return works

    gateway = invocation.gateway

    def key() -> str:
        gateway.sandboxes(labels={"sgw-doctor": "none"})
        return "accepted" if invocation.address()[1] else "none, and none is needed"

    def ready() -> str:
        found = gateway.ready()
        names: list[str] = list(found.get("checks") or [found.get("status", "")])
        return ", ".join(names)

    def sandbox() -> str:
        with gateway.create(labels={"sgw-doctor": "yes"}) as made:
            result = made.commands.run("echo it works", check=True)
            said: str = result.output.strip()
            return said

    def reached() -> str:
        gateway.request("GET", "/healthz")
        return gateway.url

    works = check("gateway", reached) and all(
        [check("key", key), check("ready", ready), *([check("sandbox", sandbox)] if create else [])]
    )
    if invocation.is_json:
        invocation.print_json(checks)
    raise Ended(0 if works else FAILED)
