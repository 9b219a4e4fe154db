"""What start.sh must know before it hands over to gunicorn, found out in one short process.

Checks the settings, the port, the engine and the image, in this order. Prints the engine's address
on standard output, what is wrong as one line on standard error, and ends with one of the statuses
below. `preflight.py start` checks all; `preflight.py test` leaves the port out, which a running
gateway may hold.
"""

from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import engine_api  # noqa: E402
import image_inputs  # noqa: E402
from gateway.errors import SettingsError  # noqa: E402
from gateway.identity.key_source import source_of  # noqa: E402
from gateway.server.listen_addresses import listened_on  # noqa: E402
from gateway.settings import Settings, load_settings  # noqa: E402

READY = 0
REFUSED = 2
IMAGE_MISSING = 12
TEMPLATE_MISSING = 13


class Refused(Exception):
    """The operator must change something first."""


def check_port(host: str, port: int) -> None:
    """Raises Refused unless the gateway could listen there now.

    gunicorn would find out too, after starting, and retry for seconds before it gives up.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise Refused(f"SANDBOX_HOST={host} is wrong: {error.strerror}") from error
    with socket.socket(family, kind, protocol) as probe:
        # As gunicorn does: connections of a gateway that just ended do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            raise Refused(_why_not_listen(host, port, error)) from error


def _why_not_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is already in use; another one: ./start.sh {port + 1}"
    if error.errno == errno.EACCES:
        return f"port {port} needs root (as all below 1024 do); another one: ./start.sh 8003"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"SANDBOX_HOST={host} is wrong: not an address of this machine"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def check_images(settings: Settings) -> int:
    """READY, IMAGE_MISSING or TEMPLATE_MISSING. Raises engine_api.EngineAbsent."""
    if not _is_there(settings.image, ""):
        return IMAGE_MISSING
    for template, image in settings.own_templates.items():
        if not _is_there(image, template):
            return TEMPLATE_MISSING
    return READY


def _is_there(image: str, template: str) -> bool:
    """Says so, too, when it is out of date."""
    found = engine_api.image(image)
    if found is None:
        return False
    labels = (found.get("Config") or {}).get("Labels") or {}
    made_from = labels.get(image_inputs.LABEL)
    # An image without the label is the operator's own.
    if made_from is not None and made_from != image_inputs.digest(template):
        option = f" --template {template}" if template else ""
        print(
            f"note: the image {image} is older than scripts/image; "
            f"renew it: scripts/build_image.sh{option}",
            file=sys.stderr,
        )
    return True


def main() -> int:
    try:
        settings = load_settings()
        source_of(settings)
        if sys.argv[1:] != ["test"]:
            for address in listened_on(settings.host):
                check_port(address, settings.port)
        print(engine_api.engine_address())
        engine_api.ping()
        return check_images(settings)
    except (SettingsError, Refused) as error:
        print(error, file=sys.stderr)
        return REFUSED
    except engine_api.EngineAbsent as error:
        return error.status


if __name__ == "__main__":
    sys.exit(main())
