"""What happens to a command that is followed, as the edges see it."""

from gateway.link.exited import Exited
from gateway.link.follower import Gap, Happening, Output, Started

__all__ = ["Exited", "Gap", "Happening", "Output", "Started"]
