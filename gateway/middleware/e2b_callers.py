"""Who asks a sandbox for something in E2B's protocol: its tokens tell, and nothing else."""

from __future__ import annotations

from gateway.errors import SandboxNotFound, Unauthorized
from gateway.identity.access import Access
from gateway.identity.caller import ANONYMOUS, Caller
from gateway.middleware.e2b_target import E2bTarget

OPEN_ENDPOINTS = frozenset(("e2b_health.show",))
"""What the service in a sandbox answers to everybody."""


def identify(access: Access, target: E2bTarget, endpoint: str | None) -> Caller:
    """The caller of a request that is for `target`, as the sandbox's owner. Raises SandboxNotFound,
    Unauthorized and RateLimited.

    An address with a signature comes from nobody: its route finds out whom it is signed for
    (`authentication.let_in`).
    """
    if target.plane == "signed" or endpoint in OPEN_ENDPOINTS:
        return ANONYMOUS
    if target.plane != "envd":
        return access.owner_at(target.sandbox_id)
    caller = access.identify_for_e2b(target.token, target.sandbox_id)
    if caller is not None:
        return caller
    if not access.is_known(target.sandbox_id):
        raise SandboxNotFound(target.sandbox_id)
    raise Unauthorized("unauthorized access, the access token of the sandbox is missing or wrong")
