"""Routes of the noun *context*: interpreters that keep their state."""

from __future__ import annotations

from flask import Blueprint, Response, url_for

from gateway.api.asking.json_bodies import read_json
from gateway.api.rest import answers
from gateway.api.rest.command_routes import BODY_FAULTS, FAULTS
from gateway.api.rest.stoppable_waits import Waiting
from gateway.contexts import service
from gateway.contexts.service import Contexts
from gateway.errors import (
    ContextNotFound,
    FeatureMissing,
    PathNotFound,
    SandboxBusy,
    TooManyCommands,
    TooManyContexts,
)
from gateway.schemas.models import CodeContext, ContextCreate
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.sandbox_use import SandboxUses

CONTEXT_FAULTS = (FeatureMissing, SandboxBusy, *FAULTS)


def blueprint(contexts: Contexts, uses: SandboxUses, waiting: Waiting) -> Blueprint:
    """The routes under `/sandboxes/{sandbox_id}/contexts`, but for what is run there."""
    routes = Blueprint("contexts", __name__, url_prefix="/sandboxes/<sandbox_id>/contexts")

    @routes.post("")
    @documented(
        summary="Create a code context",
        description="An interpreter of its own, ready when this is answered. The sandbox's image "
        "must be made for it, as the template `code-interpreter` is.",
        tag="Contexts",
        body=ContextCreate,
        replies={201: Reply(CodeContext, headers={"Location": "Address of the context."})},
        errors=(*BODY_FAULTS, PathNotFound, TooManyContexts, TooManyCommands, *CONTEXT_FAULTS),
    )
    def create(sandbox_id: str) -> Response:
        wanted = read_json(ContextCreate)
        with uses.of(sandbox_id) as use:
            made = waiting.until(lambda: contexts.create(use.place, wanted.language, wanted.cwd))
        response = answers.one(_shown(made), 201)
        response.headers["Location"] = (
            f"{url_for('contexts.show_all', sandbox_id=use.place.sandbox_id)}/{made.context_id}"
        )
        return response

    @routes.get("")
    @documented(
        summary="List the code contexts of a sandbox",
        tag="Contexts",
        replies={
            200: Reply(
                list[CodeContext],
                "The `default` one, which is there from the beginning, and those that were made.",
            )
        },
        errors=CONTEXT_FAULTS,
    )
    def show_all(sandbox_id: str) -> Response:
        with uses.of(sandbox_id) as use:
            found = waiting.until(lambda: contexts.list(use.place))
        return answers.many([_shown(one) for one in found])

    @routes.delete("/<context_id>")
    @documented(
        summary="Delete a code context",
        description="With all that runs and waits in it.",
        tag="Contexts",
        replies={204: Reply(description="It is gone.", media_type=None)},
        errors=(ContextNotFound, *CONTEXT_FAULTS),
    )
    def delete(sandbox_id: str, context_id: str) -> Response:
        with uses.of(sandbox_id) as use:
            waiting.until(lambda: contexts.delete(use.place, context_id))
        return answers.nothing()

    @routes.post("/<context_id>/restart")
    @documented(
        summary="Restart a code context",
        description="Its state is gone, and what runs and waits in it ends; its id stays.",
        tag="Contexts",
        replies={204: Reply(description="It is as new.", media_type=None)},
        errors=(ContextNotFound, TooManyCommands, *CONTEXT_FAULTS),
    )
    def restart(sandbox_id: str, context_id: str) -> Response:
        with uses.of(sandbox_id) as use:
            waiting.until(lambda: contexts.restart(use.place, context_id))
        return answers.nothing()

    @routes.post("/<context_id>/interrupt")
    @documented(
        summary="Interrupt a code context",
        description="What runs in it gets a `KeyboardInterrupt`; what waits goes on.",
        tag="Contexts",
        replies={204: Reply(description="It was interrupted, if something ran.", media_type=None)},
        errors=(ContextNotFound, *CONTEXT_FAULTS),
    )
    def interrupt(sandbox_id: str, context_id: str) -> Response:
        with uses.of(sandbox_id) as use:
            waiting.until(lambda: contexts.interrupt(use.place, context_id))
        return answers.nothing()

    return routes


def _shown(context: service.CodeContext) -> CodeContext:
    return CodeContext(context_id=context.context_id, language=context.language, cwd=context.cwd)
