"""The beginning and the end of `sgw`: its commands by name, and the status that it ends with."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click

from .. import __version__
from .exit_status import CLOSED_PIPE, FAILED, INTERRUPTED, WRONG_USAGE, Ended, say

_COMMANDS: dict[str, tuple[str, str]] = {
    "create": ("sandbox_commands", "Make a sandbox."),
    "ls": ("sandbox_commands", "List sandboxes."),
    "show": ("sandbox_commands", "Show a sandbox, or why it ended."),
    "run": ("running", "Run a command in a sandbox of its own."),
    "exec": ("running", "Run a command in a sandbox."),
    "shell": ("running", "Open a shell in a sandbox."),
    "attach": ("following", "Follow a command that runs, from its beginning."),
    "logs": ("following", "Print what a command wrote."),
    "wait": ("following", "Wait for a command's end."),
    "ps": ("following", "List the commands of a sandbox."),
    "cp": ("copying", "Copy files and directories in and out."),
    "port-forward": ("port_forward", "Reach a server in a sandbox from this machine."),
    "events": ("watching", "What happens to sandboxes."),
    "stats": ("watching", "What sandboxes use now."),
    "top": ("watching", "What sandboxes use, again and again."),
    "pause": ("sandbox_commands", "Stop all processes of sandboxes where they are."),
    "resume": ("sandbox_commands", "Let them go on."),
    "rm": ("removing", "Delete sandboxes."),
    "prune": ("removing", "Delete sandboxes that nobody uses."),
    "snapshot": ("snapshot_commands", "Take, list and delete snapshots."),
    "fork": ("snapshot_commands", "Make copies of a sandbox."),
    "restore": ("snapshot_commands", "Bring a sandbox back to a snapshot."),
    "diff": ("snapshot_commands", "What a sandbox has changed."),
    "token": ("service_commands", "Issue or revoke access tokens."),
    "api": ("service_commands", "Send any request of the API."),
    "doctor": ("service_commands", "Check what is between here and a sandbox."),
    "context": ("context_commands", "Gateways by name."),
    "completion": ("context_commands", "Print what completes words in a shell."),
}
"""By name: the module, and what the overview says."""


class _Overview(click.Group):
    """Knows its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f".{_COMMANDS[name][0]}", __package__)
        found: click.Command = getattr(module, f"{name.replace('-', '_')}_command")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in _COMMANDS.items()])


@click.group(
    cls=_Overview,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="%(version)s", prog_name="sgw")
def sgw() -> None:
    """Throw-away Linux machines, at a Sandbox Gateway.

    The gateway is that of --url, of GATEWAY_URL (and GATEWAY_KEY), or of the context in use; else
    http://localhost:8003. Sandboxes are named by id, by the beginning of one, or by name.

    The status is the command's own return code; 2 for wrong usage, 255 for errors of sgw.
    """


def main() -> NoReturn:
    """Run what the arguments say, and end."""
    status = FAILED
    try:
        status = _status()
        sys.stdout.flush()
    except BrokenPipeError:
        status = CLOSED_PIPE
    except OSError as error:
        say(f"cannot write the output: {error.strerror}")
        status = FAILED
    finally:
        # Not sys.exit: a thread may wait for input that never comes.
        os._exit(status)


def _status() -> int:
    from ..api_error import SandboxGatewayError

    try:
        sgw.main(prog_name="sgw", standalone_mode=False)
        return 0
    except Ended as end:
        return end.status
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        error.show()
        return WRONG_USAGE
    except click.ClickException as error:
        error.show()
        return FAILED
    except SystemExit as end:  # completion ends so
        return end.code if isinstance(end.code, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SandboxGatewayError as error:
        say(str(error))
        return FAILED
    except BrokenPipeError:
        return CLOSED_PIPE
    except OSError as error:
        say(str(error))
        return FAILED
    except Exception as error:  # noqa: BLE001  (whatever it is, the status must not be 1)
        if os.environ.get("SGW_TRACE"):
            import traceback

            traceback.print_exc()
        say(f"{type(error).__name__}: {error}")
        return FAILED
