"""How many descriptors the agent may still take."""

import os
import resource

RESERVED = 512
"""Left for links and the ends of commands: without them nobody could end what holds the rest."""


def raise_limit():
    """Take as many as may be had."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_short():
    """Whether no more commands should begin. The kernel gives the lowest number that is free
    (open(2)), so that number says how many are taken."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        lowest = os.dup(0)
    except OSError:
        return True
    os.close(lowest)
    return lowest >= soft - RESERVED
