"""What happens to files of a sandbox, on a WebSocket."""

from __future__ import annotations

from collections.abc import Mapping

import gevent
import orjson
from pydantic import ValidationError

from gateway.api.ws.peer import INTERNAL_ERROR, Peer
from gateway.errors import BadFields, BadRequest, GatewayError
from gateway.files.watching import Watching
from gateway.logs.line_budget import bounded_log
from gateway.schemas.models import User, WatchQuery
from gateway.schemas.paths_in_requests import path_of

log = bounded_log(__name__)

_WATCHING = b'{"type":"watching"}'


def asked_for(arguments: Mapping[str, str], query: bytes) -> tuple[bytes, bool, User]:
    """The path, whether what is below it is meant too, and as whom. Raises BadFields, BadPath."""
    try:
        asked = WatchQuery.model_validate(dict(arguments))
    except ValidationError as error:
        raise BadFields(
            "the query has values that are not allowed",
            errors=[
                {"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()
            ],
        ) from None
    return path_of(asked.path, asked.path_b64, query), asked.recursive, asked.user


def serve(peer: Peer, watching: Watching) -> None:
    """Tell the client what happens until it leaves or the sandbox ends."""
    telling = gevent.spawn(_tell, peer, watching)
    try:
        for _ in peer.messages():
            peer.outbox.send_error(BadRequest("a watch takes no messages"), None)
    finally:
        telling.kill()


def _tell(peer: Peer, watching: Watching) -> None:
    try:
        peer.outbox.send_text(_WATCHING)
        for events in watching.events():
            for event in events:
                peer.outbox.send_text(orjson.dumps(event))
    except OSError:
        peer.wake()
    except GatewayError as error:
        peer.outbox.send_error(error, None)
        peer.close(INTERNAL_ERROR)
    except Exception:
        log.exception("watching files failed")
        peer.close(INTERNAL_ERROR)
