"""What happens to a command that is followed, as the edges see it."""

from gateway.link.exited import Exited
from gateway.link.follower import CommandEvent, Gap, Output, Started

__all__ = ["CommandEvent", "Exited", "Gap", "Output", "Started"]
