"""Servers in sandboxes, as clients reach them: by path, and by a host of their own.

What a server answers is the sandbox's: it is passed on as it is, but for what would let it act in
the gateway's name. Errors of the gateway's own are problem documents, as everywhere.
"""

from flask import Response
from werkzeug.exceptions import HTTPException

from gateway.middleware import e2b_errors, problem_documents
from gateway.middleware.e2b_target import e2b_target
from gateway.middleware.surfaces import WITHOUT_LIMIT, Surface


def _error_form(error: Exception) -> Response | HTTPException:
    if e2b_target() is not None:
        return e2b_errors.of_router(error)
    return problem_documents.answer_to(error)


PORTS = Surface("ports", max_body_bytes=WITHOUT_LIMIT, error_form=_error_form)
"""What a server answers is written below this and gets none of the headers; errors get them."""
