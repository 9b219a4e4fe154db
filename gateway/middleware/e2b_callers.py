"""Who asks a sandbox for something in E2B's protocol: its tokens tell, and nothing else."""

from __future__ import annotations

from gateway.errors import SandboxNotFound, Unauthorized
from gateway.identity.access import Access
from gateway.identity.caller import ANONYMOUS, Caller
from gateway.middleware.e2b_target import E2bTarget
from gateway.middleware.open_ports import NO_ACCESS_TOKEN, USUAL, RuleOf, whoever_may

OPEN_ENDPOINTS = frozenset(("e2b_health.show",))
"""What the service in a sandbox answers to everybody."""


def identify(
    access: Access, target: E2bTarget, endpoint: str | None, rule_of: RuleOf | None
) -> Caller:
    """The caller of a request that is for `target`, as the sandbox's owner. Raises SandboxNotFound,
    Unauthorized, TokenNotEnough and RateLimited.

    An address with a signature comes from nobody: its route finds out whom it is signed for
    (`authentication.let_in`).
    """
    if target.plane == "signed" or endpoint in OPEN_ENDPOINTS:
        return ANONYMOUS
    if target.plane == "interpreter":  # its clients show no token but for one of the routes
        rule = USUAL if rule_of is None else rule_of(target.sandbox_id)
        return whoever_may(access, target.sandbox_id, rule)
    caller = access.identify_for_e2b(target.token, target.sandbox_id)
    if caller is not None:
        return caller
    if not access.is_known(target.sandbox_id):
        raise SandboxNotFound(target.sandbox_id)
    raise Unauthorized(NO_ACCESS_TOKEN)
