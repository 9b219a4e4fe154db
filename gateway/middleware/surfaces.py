"""The surfaces: each owns the form of its errors, its limit of bodies and its headers.

A surface is a value that is registered with its blueprints. Which one a request belongs to is told
by the route that it has found; what has found none, or a route without a surface, belongs to the
one whose addresses begin as its own does, else to the first one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from gateway.middleware import problem_documents
from gateway.middleware.answer_headers import HEADERS
from gateway.settings import MIB

MAX_BODY_BYTES = MIB

WITHOUT_LIMIT = sys.maxsize
"""For bodies that are passed on as they come and never held. None would be Flask's own setting,
which is the first surface's limit."""

_EXTENSION = "sandbox-gateway.surfaces"


def _as_it_is(response: Response) -> Response:
    return response


@dataclass(frozen=True)
class Surface:
    """One way in, and what its answers have in common. Shared by all requests."""

    name: str

    below: str = ""
    """How the addresses of all its routes begin, so that what finds none of them belongs here too;
    the longest such beginning counts. Empty: it has no part of the addresses for itself."""

    headers: Mapping[str, str] = field(default_factory=lambda: HEADERS)
    """What every answer carries, those to errors too, unless the view has said otherwise."""

    max_body_bytes: int = MAX_BODY_BYTES
    """How much of a body is read. A longer one raises werkzeug's RequestEntityTooLarge, at the
    first read. A view may set `request.max_content_length` to another limit."""

    error_form: Callable[[Exception], Response | HTTPException] = problem_documents.answer_to
    """Makes the answer to whatever was raised from the guards on; it logs what clients may not
    read. Statuses are those of `problem_documents.status_of`."""

    finish: Callable[[Response], Response] = _as_it_is
    """Has the last word on each answer, before the headers are added."""

    def register(self, app: Flask, *blueprints: Blueprint) -> None:
        """Give `app` the routes of this surface. `install` must have been called."""
        surfaces = _surfaces_of(app)
        if self.below:
            surfaces.of_beginning[self.below] = self
        for blueprint in blueprints:
            surfaces.of_blueprint[blueprint.name] = self
            app.register_blueprint(blueprint)


@dataclass(frozen=True)
class _Surfaces:
    first: Surface
    of_blueprint: dict[str, Surface]
    of_beginning: dict[str, Surface] = field(default_factory=dict)

    def of_address(self, path: str) -> Surface:
        """The one of an address without a route."""
        fitting = [beginning for beginning in self.of_beginning if path.startswith(beginning)]
        return self.of_beginning[max(fitting, key=len)] if fitting else self.first


def install(app: Flask, first: Surface) -> None:
    """Treat each request to `app` as its surface says, and as `first` does where it has none.

    `language.install` must have been called. Call this before any routes are added: how slashes
    are treated is decided when a rule is bound.
    """
    # werkzeug answers a path with surplus slashes with a redirect whose body is HTML.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = first.max_body_bytes
    app.extensions[_EXTENSION] = _Surfaces(first, {})

    def limit(_endpoint: str | None, _values: object) -> None:
        surface = of_request()
        if surface is not first:
            request.max_content_length = surface.max_body_bytes

    def finish(response: Response) -> Response:
        surface = of_request()
        response = surface.finish(response)
        for name, value in surface.headers.items():
            response.headers.setdefault(name, value)
        return response

    def answer(error: Exception) -> Response | HTTPException:
        return of_request().error_form(error)

    app.url_value_preprocessor(limit)
    app.after_request(finish)
    app.register_error_handler(Exception, answer)


def of_request() -> Surface:
    """The surface that the current request belongs to."""
    surfaces = _surfaces_of(current_app)
    of_blueprint = surfaces.of_blueprint
    found = next((of_blueprint[b] for b in request.blueprints if b in of_blueprint), None)
    return surfaces.of_address(request.path) if found is None else found


def _surfaces_of(app: Flask) -> _Surfaces:
    return cast(_Surfaces, app.extensions[_EXTENSION])
