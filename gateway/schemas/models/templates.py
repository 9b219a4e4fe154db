"""Messages about templates: images that operators have built."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.schemas.models.base import Answer, Request
from gateway.schemas.models.sandboxes import OwnName


class TemplateQuery(Request):
    """Query of `POST /templates`."""

    name: OwnName = Field(
        description="What creates call it by, in `image`: 1 to 63 of `a-z`, `0-9` and `-`, no `-` "
        "at the beginning, and not 32 hexadecimal digits. Another template must not have it.",
        examples=["with-numpy"],
    )


class Template(Answer):
    """An image that sandboxes may be made of, besides those of the settings."""

    name: str = Field(examples=["with-numpy"])
    image: str = Field(
        description="What the engine calls it; sandboxes made from it show it as their `image`.",
        examples=["sandbox-gateway-template:0c9a3e5b7d1f-with-numpy"],
    )
    created_at: float = Field(description="Seconds since the epoch.", examples=[1648371234.567])
    size_bytes: int = Field(
        description="That it takes on the engine's host, with what it is built upon.",
        examples=[402653184],
    )


class BuildOutput(Answer):
    """A piece of what the engine's builder says, and what the commands of the build write."""

    type: Literal["output"]
    text: str = Field(examples=["Step 2/2 : RUN echo made\n"])


class TemplateMade(Template):
    """The last event of a build that came to its end."""

    type: Literal["template"]
