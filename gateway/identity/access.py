"""Who somebody is, by what they show; whether they still are; tokens for single sandboxes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from gateway import clock
from gateway.errors import RateLimited, SandboxNotFound, Unauthorized
from gateway.identity import envd_tokens
from gateway.identity.access_tokens import NEVER, Claim, PortClaim, TokenSigner
from gateway.identity.caller import ANONYMOUS, Caller, may_use
from gateway.identity.key_source import KeySource
from gateway.identity.keys import PORT_TOKEN_PREFIX, TOKEN_PREFIX
from gateway.identity.rate_limits import RateLimits

MOST_KNOWN = 10_000


class Owners(Protocol):
    """Knows whose sandboxes are. Owners are names of keys, or "" for nobody."""

    def owner_of(self, sandbox_id: str) -> str | None:
        """None where there is no such sandbox. Those that have ended keep their owner."""


class TokenGenerations(Protocol):
    """Knows which generation of a sandbox's tokens is the valid one."""

    def generation_of(self, sandbox_id: str) -> str | None:
        """None where no token was ever issued."""

    def generations_of(self, sandbox_ids: Collection[str]) -> dict[str, str]:
        """Of those among the sandboxes that have one."""

    def live_generations(self) -> dict[str, str]:
        """Of all sandboxes that have one and have not ended."""

    def begin_generation(self, sandbox_id: str, generation: str) -> str | None:
        """Note a generation unless there is one; the one that is noted. None: no such sandbox, or
        it has ended."""

    def renew_generation(self, sandbox_id: str, generation: str) -> bool:
        """Note another generation. False where there is no such sandbox, or it has ended."""


@dataclass(frozen=True)
class AccessToken:
    """A new token; the only time that it can be read."""

    text: str = field(repr=False)
    expires_at: float
    """Seconds since the epoch."""


class Access:
    """Everything about identity that one worker needs. Owns `rates`."""

    def __init__(
        self,
        keys: KeySource,
        signer: TokenSigner,
        owners: Owners,
        generations: TokenGenerations,
        rates: RateLimits,
        token_ttl_s: float,
        wall_s: Callable[[], float] = clock.wall_s,
    ) -> None:
        self._keys = keys
        self._signer = signer
        self._owners = owners
        self._generations = generations
        self._rates = rates
        self._token_ttl_s = token_ttl_s
        self._wall_s = wall_s
        self._known_owners: dict[str, str] = {}

    @property
    def needs_key(self) -> bool:
        """Whether keys are configured."""
        return self._keys.configured

    @property
    def has_several_owners(self) -> bool:
        """Whether keys of more than one name are valid."""
        return self._keys.configured and self._keys.current().has_several_names

    def identify(self, shown: str | None) -> Caller:
        """The caller who has shown a key or a token, or nothing.

        Raises Unauthorized, and RateLimited when this is one request too many.
        """
        if not self.needs_key:
            return ANONYMOUS
        if not shown:
            raise Unauthorized("a key is needed")
        caller = self._by_token(shown) if shown.startswith(TOKEN_PREFIX) else self._by_key(shown)
        if caller is None:
            # Whether it has expired, was revoked, or never was one, is nobody's business.
            raise Unauthorized("the key or token is not valid")
        self._take(caller.name, caller.limits.rate)
        return caller

    def identify_for_port(self, token: str, port: str) -> Caller | None:
        """Whoever opens the address of a port, as the sandbox's owner but for that port only; None
        when the token is not valid, or of another port. Raises RateLimited."""
        claim = self._signer.read_port(token, now=self._wall_s())
        if claim is None or str(claim.port) != port:
            return None
        return self._admitted(claim)

    def knows(self, shown: str) -> bool:
        """Whether something is a key or a token of this gateway's, so that it is for nobody else;
        tokens also when they have expired."""
        if shown.startswith((TOKEN_PREFIX, PORT_TOKEN_PREFIX)):
            return True
        return self.needs_key and self._keys.current().find(shown) is not None

    def count(self, caller: Caller) -> None:
        """Count something that a known caller asks for, by the limits that its name has now.

        Raises RateLimited when it is one too many.
        """
        limits = None if caller.is_anonymous else self._keys.current().limits_of(caller.name)
        if limits is not None:
            self._take(caller.name, limits.rate)

    def _take(self, name: str, rate: float | None) -> None:
        wait_s = 0.0 if rate is None else self._rates.take(name, rate)
        if wait_s > 0:
            raise RateLimited(f"the next one in {wait_s:.3g} s", retry_after_s=wait_s)

    def _by_key(self, shown: str) -> Caller | None:
        key = self._keys.current().find(shown)
        return None if key is None else Caller(key.name, key.limits, proof=key.digest)

    def _by_token(self, shown: str) -> Caller | None:
        claim = self._signer.read(shown, now=self._wall_s())
        return None if claim is None else self._by_claim(claim)

    def _by_claim(self, claim: Claim) -> Caller | None:
        if self._generations.generation_of(claim.sandbox_id) != claim.generation:
            return None
        if not self.needs_key:
            return Caller("", sandbox_id=claim.sandbox_id, proof=claim)
        owner = self._owner_of(claim.sandbox_id) or ""
        # A token is worth no more than the keys of its sandbox's owner.
        limits = self._keys.current().limits_of(owner)
        return None if limits is None else Caller(owner, limits, claim.sandbox_id, proof=claim)

    def lapsed(self, callers: Collection[Caller]) -> set[Caller]:
        """Those of the callers whose key or token is not valid any more."""
        claims = [caller.proof for caller in callers if isinstance(caller.proof, Claim)]
        generations = self._generations.generations_of({c.sandbox_id for c in claims})
        return {caller for caller in callers if not self._still_holds(caller, generations)}

    def _still_holds(self, caller: Caller, generations: dict[str, str]) -> bool:
        keyring, proof = self._keys.current(), caller.proof
        if isinstance(proof, Claim):
            return (
                self._wall_s() < proof.expires_at
                and generations.get(proof.sandbox_id) == proof.generation
                and (caller.is_anonymous or keyring.limits_of(caller.name) is not None)
            )
        return caller.is_anonymous or (isinstance(proof, bytes) and keyring.holds(proof))

    def check(self, caller: Caller, sandbox_id: str) -> None:
        """Raises SandboxNotFound unless the sandbox is the caller's, just as if there were none."""
        if caller.is_anonymous:
            return
        if not may_use(caller, self._owner_of(sandbox_id), sandbox_id):
            raise SandboxNotFound(sandbox_id)

    def _owner_of(self, sandbox_id: str) -> str | None:
        """Owners never change: the store is asked once, for a third of a millisecond is much."""
        known = self._known_owners.get(sandbox_id)
        if known is None:
            known = self._owners.owner_of(sandbox_id)
            if known:
                if len(self._known_owners) >= MOST_KNOWN:
                    self._known_owners.clear()
                self._known_owners[sandbox_id] = known
        return known

    def issue(self, sandbox_id: str) -> AccessToken:
        """A new token for a sandbox. Raises SandboxNotFound."""
        generation = self._generations.begin_generation(sandbox_id, _new_generation())
        if generation is None:
            raise SandboxNotFound(sandbox_id)
        expires_at = int(self._wall_s() + self._token_ttl_s)
        return AccessToken(
            self._signer.sign(Claim(sandbox_id, generation, expires_at)), float(expires_at)
        )

    def issue_for_port(self, sandbox_id: str, port: int, ttl_s: float) -> AccessToken:
        """A new token for a port of a sandbox, valid for `ttl_s` seconds. It is revoked with the
        sandbox's access tokens. Raises SandboxNotFound."""
        generation = self._generations.begin_generation(sandbox_id, _new_generation())
        if generation is None:
            raise SandboxNotFound(sandbox_id)
        expires_at = int(self._wall_s() + ttl_s)
        claim = PortClaim(sandbox_id, generation, expires_at, port)
        return AccessToken(self._signer.sign_port(claim), float(expires_at))

    def e2b_token(self, sandbox_id: str, kind: envd_tokens.Kind = "envd") -> str:
        """The token of a kind that E2B's clients are given for a sandbox. It is always the same
        one, until the sandbox's tokens are revoked. Raises SandboxNotFound."""
        return self._signer.of_e2b(kind, sandbox_id, self._generation(sandbox_id))

    def e2b_tokens(self) -> Iterator[tuple[str, str]]:
        """Every sandbox that E2B's clients may have a token for, and that token."""
        for sandbox_id, generation in self._generations.live_generations().items():
            yield sandbox_id, self._signer.of_e2b("envd", sandbox_id, generation)

    def identify_for_e2b(
        self, shown: str | None, sandbox_id: str, kind: envd_tokens.Kind = "envd"
    ) -> Caller | None:
        """Whoever has shown the token of a kind for a sandbox, as its owner but for that sandbox
        only; None when it is another. Raises RateLimited."""
        if shown is None or envd_tokens.sandbox_id_in(shown) != sandbox_id:
            return None
        generation = self._generations.generation_of(sandbox_id)
        if generation is None or not envd_tokens.is_same(
            self._signer.of_e2b(kind, sandbox_id, generation), shown
        ):
            return None
        return self._admitted(Claim(sandbox_id, generation, NEVER))

    def owner_at(self, sandbox_id: str) -> Caller:
        """Somebody who may use a sandbox without having shown anything, as its owner but for that
        sandbox only. Raises SandboxNotFound, and RateLimited."""
        caller = self._admitted(Claim(sandbox_id, self._generation(sandbox_id), NEVER))
        if caller is None:
            raise SandboxNotFound(sandbox_id)
        return caller

    def is_known(self, sandbox_id: str) -> bool:
        """Whether there is such a sandbox, or was one lately."""
        return self._owner_of(sandbox_id) is not None

    def _generation(self, sandbox_id: str) -> str:
        generation = self._generations.generation_of(sandbox_id)
        if generation is None:
            generation = self._generations.begin_generation(sandbox_id, _new_generation())
        if generation is None:
            raise SandboxNotFound(sandbox_id)
        return generation

    def _admitted(self, claim: Claim) -> Caller | None:
        caller = self._by_claim(claim)
        if caller is not None:
            self._take(caller.name, caller.limits.rate)
        return caller

    def revoke(self, sandbox_id: str) -> None:
        """End all tokens of a sandbox. Raises SandboxNotFound."""
        if not self._generations.renew_generation(sandbox_id, _new_generation()):
            raise SandboxNotFound(sandbox_id)

    def close(self) -> None:
        """Let go of the files. May be repeated."""
        self._rates.close()


def _new_generation() -> str:
    """Random and no count: a store that was lost and began to count anew would revive tokens."""
    return secrets.token_hex(8)
