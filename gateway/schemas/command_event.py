"""What happens to a command that is followed, as the edges see it."""

from gateway.link.exited import Exited
from gateway.link.follower import Gap, Output, Started
from gateway.link.follower import Happening as CommandEvent

__all__ = ["CommandEvent", "Exited", "Gap", "Output", "Started"]
