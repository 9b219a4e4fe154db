"""The environment of commands, out of the container's."""

from __future__ import annotations

import os
import pwd

from gateway.agent.surroundings import GIVEN, of_commands

ME = pwd.getpwuid(os.getuid())


def test_what_the_user_gave_wins_under_its_own_name() -> None:
    """Over the image's, and over what /etc/passwd says."""
    environment, home = of_commands(
        {"PATH": "/bin", "A": "image", GIVEN + "A": "given", GIVEN + "HOME": "/x", "HOME": "/y"}
    )
    assert environment["A"] == "given"
    assert environment["HOME"] == "/x"
    assert environment["PATH"] == "/bin"
    assert home == ME.pw_dir
    assert not [name for name in environment if name.startswith(GIVEN)]


def test_without_a_word_of_the_users_passwd_decides() -> None:
    """A HOME of the image is that of another user, as often as not."""
    environment, home = of_commands({"HOME": "/root-of-image", "USER": "image"})
    assert (environment["HOME"], home) == (ME.pw_dir, ME.pw_dir)
    assert environment["USER"] == "image"
    assert environment["LOGNAME"] == ME.pw_name


def test_a_name_that_is_only_the_prefix_in_part_is_the_images() -> None:
    """Nothing of the image is lost."""
    environment, _home = of_commands({"AGENT_ENVIRONMENT": "x", "AGENT_": "y"})
    assert environment["AGENT_ENVIRONMENT"] == "x"
    assert environment["AGENT_"] == "y"
