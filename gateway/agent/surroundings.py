"""The environment that commands start with, and their home."""

import os

GIVEN = "AGENT_ENV_"
"""Begins the names under which a container carries what its user gave. Under their own names they
would be those of the container's first process and of the agent, too: a PATH without `sleep` or an
LD_PRELOAD would leave the sandbox dead."""


def is_own_user(user):
    """Whether this is who commands run as, by name or number; None stands for nobody else."""
    if user is None or type(user) is int:
        return user in (None, os.getuid())
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        name = None
    return isinstance(user, str) and user in (str(os.getuid()), name)


def of_commands(container):
    """(environment, home directory), from the environment that the container gives.

    What the user gave wins, HOME too; without it HOME is that of the user in /etc/passwd. Commands
    start there in any case.
    """
    environment = {name: value for name, value in container.items() if not name.startswith(GIVEN)}
    home = environment.get("HOME", "/")
    user, shell = str(os.getuid()), None
    try:
        import pwd

        entry = pwd.getpwuid(os.getuid())
        home, user, shell = entry.pw_dir, entry.pw_name, entry.pw_shell or "/bin/sh"
        environment["HOME"] = home
    except (ImportError, KeyError):
        pass
    environment.setdefault("USER", user)
    environment.setdefault("LOGNAME", user)
    if shell is not None:
        environment.setdefault("SHELL", shell)
    for name, value in container.items():
        if name.startswith(GIVEN):
            environment[name[len(GIVEN) :]] = value
    return environment, home
