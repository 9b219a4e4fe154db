"""Whether the host enforces what SANDBOX_REQUIRE names: `python -m gateway.server.start_check`.

Ends with status 0, or with 1 and one line on standard error.
"""

from __future__ import annotations

import sys

from gateway.engine.docker.docker_engine import DockerEngine
from gateway.errors import SettingsError
from gateway.sandboxes.upkeep.host_enforcement import posture_before_start
from gateway.settings import load_settings


def main() -> int:
    """The exit status."""
    try:
        settings = load_settings()
        engine = DockerEngine(settings.engine_timeout)
        try:
            posture_before_start(engine, settings).demand()
        finally:
            engine.close()
    except SettingsError as error:
        sys.stderr.write(f"The gateway does not start: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
