"""Operations on the sandbox as a whole: its limits, and whether anything runs."""

from ..links.channel import Use


class QuietWaits:
    """The channels that are told when the last running command has ended."""

    def __init__(self):
        self.channels = []

    def tell(self):
        """Nothing runs."""
        for channel in list(self.channels):
            channel.tell(event="quiet")
            channel.close()


class QuietWait(Use):
    """One of them, until it is closed."""

    def __init__(self, channel, quiet):
        self._channel = channel
        self._quiet = quiet
        quiet.channels.append(channel)

    def closed(self):
        """Nobody waits any more."""
        self._quiet.channels.remove(self._channel)


class SandboxOperations:
    """What may be asked of the sandbox. `quiet` are those who wait until nothing runs."""

    def __init__(self, runner, limits, quiet):
        self._runner = runner
        self._limits = limits
        self._quiet = quiet

    def table(self):
        """The operations by name."""
        return {
            "configure": self._configure,
            "running": self._count_running,
            "quiet": self._wait_quiet,
        }

    def _configure(self, channel, message):
        self._limits.configure(message)
        channel.tell(event="done")

    def _count_running(self, channel, message):
        channel.tell(event="running", running=self._runner.running)

    def _wait_quiet(self, channel, message):
        if not self._runner.running:
            channel.tell(event="quiet")
            return None
        return QuietWait(channel, self._quiet)
