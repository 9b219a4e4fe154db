"""Surfaces: each request has the form of errors, the limit and the headers of its own one."""

from __future__ import annotations

from contextlib import closing
from io import BytesIO

import pytest
from flask import Blueprint, Flask, Response, abort, request
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException

from gateway.api import rest
from gateway.errors import EngineFault, GatewayError, SandboxNotFound
from gateway.middleware import language, problem_documents, surfaces
from gateway.middleware.surfaces import WITHOUT_LIMIT, Surface

LARGE = b"x" * (surfaces.MAX_BODY_BYTES + 1)

SANDBOXED = {"Content-Security-Policy": "sandbox"}


def _in_plain_text(error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return Response(f"http {error.code}", error.code)
    known = error if isinstance(error, GatewayError) else GatewayError()
    return Response(f"code {known.code}", problem_documents.status_of(type(known)))


def _signed(response: Response) -> Response:
    response.headers["X-Signed"] = "yes"
    return response


def _routes(name: str) -> Blueprint:
    """What each surface of the test serves, below its name."""
    routes = Blueprint(name, __name__, url_prefix=f"/{name}")

    @routes.post("/length")
    def length() -> str:
        return str(len(request.get_data()))

    @routes.post("/form")
    def form() -> str:
        with closing(request.files["file"]) as file:
            return str(len(file.read()))

    @routes.get("/own")
    def own() -> Response:
        return Response("x", headers={"Content-Security-Policy": "default-src 'self'"})

    @routes.get("/broken/<kind>")
    def broken(kind: str) -> str:
        raise {"known": EngineFault("secret"), "unknown": KeyError("secret")}[kind]

    @routes.get("/aborted")
    def aborted() -> str:
        abort(418)

    @routes.url_value_preprocessor
    def guard(_endpoint: str | None, _values: object) -> None:
        if "refused" in request.args:
            raise SandboxNotFound("a1")

    return routes


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """Of an application with REST's surface as the first one, and three others."""
    app = Flask(__name__, static_folder=None)
    language.install(app, tmp_path_factory.mktemp("locale"))
    surfaces.install(app, rest.REST)
    rest.REST.register(app, _routes("plain"))
    Surface("open", headers=SANDBOXED, max_body_bytes=WITHOUT_LIMIT).register(app, _routes("open"))
    Surface("own", headers={}, error_form=_in_plain_text, finish=_signed).register(
        app, _routes("own")
    )
    Surface("tiny", max_body_bytes=3).register(app, _routes("tiny"), _routes("tiny2"))
    app.register_blueprint(_routes("without"))
    return app.test_client()


@pytest.mark.parametrize(
    ("name", "status"),
    [("plain", 413), ("open", 200), ("own", 413), ("tiny", 413), ("tiny2", 413), ("without", 413)],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_each_has_its_own_limit_of_bodies(
    client: FlaskClient, name: str, status: int, chunked: bool
) -> None:
    """A body that is passed on needs none; the others keep theirs, whatever the order."""
    more = {"environ_overrides": {"wsgi.input_terminated": True}} if chunked else {}
    data = {"input_stream": BytesIO(LARGE)} if chunked else {"data": LARGE}

    answer = client.post(f"/{name}/length", **data, **more)

    assert answer.status_code == status
    assert status == 413 or answer.text == str(len(LARGE))
    assert client.post(f"/{name}/length", data=b"xyz").text == "3"


@pytest.mark.parametrize(("name", "status"), [("plain", 413), ("open", 200)])
def test_forms_have_the_limit_too(client: FlaskClient, name: str, status: int) -> None:
    """werkzeug parses these by itself."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="name"\r\n\r\n'
    body = head + LARGE + b"\r\n--b--\r\n"

    answer = client.post(f"/{name}/form", data=body, content_type="multipart/form-data; boundary=b")

    assert answer.status_code == status


@pytest.mark.parametrize(
    "path", ["own", "broken/known", "broken/unknown", "aborted", "own?refused"]
)
def test_answers_and_errors_have_the_surfaces_headers(client: FlaskClient, path: str) -> None:
    """A page of a sandbox must not get the policy of the API, nor the API's answers a page's."""
    is_own = path == "own"

    plain, opened = client.get(f"/plain/{path}"), client.get(f"/open/{path}")
    own = client.get(f"/own/{path}")

    said = "default-src 'self'"
    assert plain.headers["Content-Security-Policy"] == (
        said if is_own else rest.REST.headers["Content-Security-Policy"]
    )
    assert plain.headers["X-Frame-Options"] == "DENY"
    assert opened.headers["Content-Security-Policy"] == (said if is_own else "sandbox")
    assert "X-Frame-Options" not in opened.headers
    assert own.headers["X-Signed"] == "yes"
    assert is_own or "Content-Security-Policy" not in own.headers
    assert "X-Signed" not in plain.headers


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("broken/known", 503, "code engine_failed"),
        ("broken/unknown", 500, "code internal_error"),
        ("aborted", 418, "http 418"),
        ("length", 405, None),
        ("nothing", 404, None),
        ("own?refused", 404, "code sandbox_not_found"),
    ],
)
def test_each_has_its_own_form_of_errors(
    client: FlaskClient, path: str, status: int, text: str | None
) -> None:
    """Also of what the guards refuse. What found no route belongs to no surface: REST's form."""
    ours, theirs = client.get(f"/plain/{path}"), client.get(f"/own/{path}")

    assert ours.status_code == theirs.status_code == status
    assert ours.content_type == "application/problem+json"
    assert "secret" not in ours.text
    if text is None:
        assert theirs.json == ours.json
        assert {*rest.REST.headers} <= {*theirs.headers.keys()}
    else:
        assert theirs.text == text


@pytest.mark.parametrize("path", ["/", "/nothing", "/without/aborted", "/without/broken/unknown"])
def test_what_has_no_surface_has_the_first_ones_form(client: FlaskClient, path: str) -> None:
    """A problem document with the headers of plain data, never a page of the framework."""
    answer = client.get(path)

    assert answer.content_type == "application/problem+json"
    assert {*rest.REST.headers} <= {*answer.headers.keys()}


def test_options_are_answered_as_the_surface_wants(client: FlaskClient) -> None:
    """REST says 204; a surface that passes requests on must not be meddled with."""
    assert client.options("/plain/own").status_code == 204
    assert client.options("/open/own").status_code == 200
