"""Routes of the noun *template*: images that operators have built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

from flask import Blueprint, Response, request

from gateway.api.asking.client_presence import leaving
from gateway.api.bodies import uploads
from gateway.api.bodies.streamed_answers import streamed
from gateway.api.rest import answers
from gateway.api.rest.archive_routes import TAR
from gateway.api.rest.backend import TemplateServices, TemplateView
from gateway.api.rest.query_strings import read_query
from gateway.api.rest.server_sent_events import HEARTBEAT_S, MEDIA_TYPE, event_bytes
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import (
    BadFields,
    BadMediaType,
    BadTemplate,
    BodyTimeout,
    BuildFailed,
    DiskFull,
    EngineFault,
    GatewayError,
    HostToolFailed,
    OperatorsOnly,
    StoreUnavailable,
    TemplateNameTaken,
    TemplateNotFound,
    TemplateTooLarge,
    TooLarge,
    TooManyTemplates,
)
from gateway.middleware import authentication, language
from gateway.middleware.language import Texts
from gateway.middleware.problem_documents import public_detail
from gateway.schemas.event_encoder import encode_message
from gateway.schemas.models import (
    BuildOutput,
    SocketError,
    Template,
    TemplateMade,
    TemplateQuery,
)
from gateway.schemas.route_documentation import Reply, documented

LOOK_S = 1.0
"""How often it is looked whether the client is still there."""

_HEARTBEAT = b":\n\n"


def blueprint(templates: TemplateServices, waiting: Waiting) -> Blueprint:
    """The routes under `/templates`."""
    routes = Blueprint("templates", __name__, url_prefix="/templates")

    @routes.post("")
    @documented(
        summary="Build a template",
        description="With an operator's key (`SANDBOX_OPERATORS`). The body is the context of a "
        "`docker build` as tar, with a `Dockerfile` at its top. Its bases are images of the "
        "engine's host: nothing is fetched, and what it runs has no network unless "
        "`SANDBOX_TEMPLATE_NETWORK` says so. The answer begins with the build, and is the stream "
        "of its output; the last event is `template`, or `error`. Who leaves ends the build, and "
        "nothing is left of it.",
        tag="Templates",
        query=TemplateQuery,
        upload=TAR,
        replies={
            200: Reply(
                description="The stream, whatever `Accept` says.",
                media_type=None,
                events=(BuildOutput, TemplateMade, SocketError),
                event_fields="`event` the `type` of the message.",
            )
        },
        errors=(
            OperatorsOnly,
            BadFields,
            BadMediaType,
            BodyTimeout,
            BadTemplate,
            BuildFailed,
            TemplateNameTaken,
            TemplateTooLarge,
            TooLarge,
            TooManyTemplates,
            DiskFull,
            HostToolFailed,
            EngineFault,
            StoreUnavailable,
        ),
    )
    def build() -> Response:
        _demand_operator()
        query = read_query(TemplateQuery)
        if request.mimetype != TAR:
            raise BadMediaType(f"the context must be {TAR}")
        with ExitStack() as held:
            building = held.enter_context(
                templates.building.build(query.name, authentication.caller().name)
            )
            building.receive(uploads.pieces())
            told = waiting.each(building.events(), first_s=LOOK_S, then_s=LOOK_S)
            held.callback(told.close)
            stream = _stream(_while_there(told, leaving()), language.texts())
            response = streamed(stream, held, MEDIA_TYPE)
        response.headers["X-Accel-Buffering"] = "no"
        return response

    @routes.get("")
    @documented(
        summary="List the templates",
        description="Creates may name them in `image`, besides the images of `SANDBOX_IMAGES`.",
        tag="Templates",
        replies={200: Reply(list[Template], "By name, as a bare array.")},
        errors=(StoreUnavailable,),
    )
    def show_all() -> Response:
        return answers.many([_written(one) for one in templates.keeping.list()])

    @routes.get("/<template>")
    @documented(
        summary="Show a template",
        tag="Templates",
        replies={200: Reply(Template)},
        errors=(TemplateNotFound, StoreUnavailable),
    )
    def show(template: str) -> Response:
        return answers.one(_written(templates.keeping.get(template)))

    @routes.delete("/<template>")
    @documented(
        summary="Delete a template",
        description="With an operator's key. Sandboxes that were made from it go on; its image is "
        "removed when the last of them has ended. Snapshots of them need the image, as ever.",
        tag="Templates",
        replies={204: Reply(description="It is gone.", media_type=None)},
        errors=(OperatorsOnly, TemplateNotFound, StoreUnavailable),
    )
    def delete(template: str) -> Response:
        _demand_operator()
        templates.keeping.delete(template)
        return answers.nothing()

    return routes


def _demand_operator() -> None:
    if not authentication.is_operator():
        raise OperatorsOnly


def _written(template: TemplateView) -> Template:
    return Template(**{name: getattr(template, name) for name in Template.model_fields})


def _while_there(
    told: Iterable[str | TemplateView | None], has_left: Callable[[], bool]
) -> Iterator[str | TemplateView | None]:
    """The same until the client has left; None only as often as a heartbeat is due."""
    silent_s = 0.0
    for one in told:
        if one is not None:
            silent_s = 0.0
            yield one
            continue
        if has_left():
            return
        silent_s += LOOK_S
        if silent_s >= HEARTBEAT_S:
            silent_s = 0.0
            yield None


def _stream(told: Iterable[str | TemplateView | None], texts: Texts) -> Iterator[bytes]:
    try:
        for one in told:
            if one is None:
                yield _HEARTBEAT
            elif isinstance(one, str):
                yield from event_bytes(
                    "output", encode_message(BuildOutput(type="output", text=one))
                )
            else:
                values = {name: getattr(one, name) for name in Template.model_fields}
                made = TemplateMade(type="template", **values)
                yield from event_bytes("template", encode_message(made))
    except GatewayError as error:
        failed = SocketError(
            type="error",
            code=error.code,
            message=texts.localised(error),
            detail=public_detail(error),
            request_id=None,
        )
        yield from event_bytes("error", encode_message(failed))
