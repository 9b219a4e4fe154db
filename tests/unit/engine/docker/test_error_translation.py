"""What the docker SDK raises, in the gateway's own words."""

from __future__ import annotations

import pytest
import requests
from docker.errors import DockerException

from gateway.engine.docker.error_translation import translated
from gateway.errors import EngineFault, EngineTimeout, EngineUnavailable


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (requests.exceptions.ReadTimeout("no answer"), EngineTimeout),
        (requests.exceptions.ConnectionError("nobody there"), EngineUnavailable),
    ],
)
def test_a_first_call_tells_a_hanging_engine_from_a_missing_one(
    cause: Exception, kind: type[EngineFault]
) -> None:
    """The client that asks for the engine's version wraps either in the same exception."""
    with pytest.raises(kind) as raised, translated():
        raise DockerException("Error while fetching server API version") from cause
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (requests.exceptions.ReadTimeout("no answer"), EngineTimeout),
        (requests.exceptions.ConnectionError("nobody there"), EngineUnavailable),
        (TimeoutError("no answer"), EngineTimeout),
        (BrokenPipeError("it went away"), EngineUnavailable),
    ],
)
def test_silence_is_told_from_absence(foreign: Exception, kind: type[EngineFault]) -> None:
    """After silence the engine may still do what it was asked."""
    with pytest.raises(kind), translated():
        raise foreign
