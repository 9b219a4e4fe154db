"""Access tokens: nobody else can make them, they end, and they fit into a header."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StoreUnavailable
from gateway.identity import token_secret
from gateway.identity.access_tokens import Claim, TokenSigner

SIGNER = TokenSigner(b"s" * 32)
CLAIM = Claim("5f0c6d0f6b0e4f6e9a1d2c3b4a596877", "a1b2c3d4e5f60718", 2_000_000_000)


def test_a_token_says_what_was_signed() -> None:
    """Until the second that it names."""
    token = SIGNER.sign(CLAIM)

    assert SIGNER.read(token, now=1_999_999_999) == CLAIM
    assert SIGNER.read(token, now=2_000_000_000) is None


@given(st.integers(0, 2**40))
def test_a_token_fits_into_a_subprotocol(expires_at: int) -> None:
    """RFC 7230 token characters only; else browsers refuse it before anything is sent."""
    token = SIGNER.sign(Claim(CLAIM.sandbox_id, CLAIM.generation, expires_at))

    assert re.fullmatch(r"[A-Za-z0-9._-]+", token)
    assert len(token) < 200


def test_no_other_secret_and_no_change_is_taken() -> None:
    """Each character counts."""
    token = SIGNER.sign(CLAIM)

    assert TokenSigner(b"t" * 32).read(token, now=0) is None
    for at in range(len(token)):
        for other in "Aa0._":
            changed = token[:at] + other + token[at + 1 :]
            # The last character of base64 has bits that mean nothing.
            if changed != token and at < len(token) - 1:
                assert SIGNER.read(changed, now=0) is None


@pytest.mark.parametrize("text", ["", "sgt_", "sgt_.", "sgt_a.b", "sgt_" + "a" * 5000, "sgt_ä.ö"])
def test_what_is_no_token_is_none(text: str) -> None:
    """Never an exception: it comes from anybody."""
    assert SIGNER.read(text, now=0) is None


@given(st.text(max_size=200))
def test_any_text_is_none(text: str) -> None:
    """Likewise, for what nobody has thought of."""
    assert SIGNER.read("sgt_" + text, now=0) is None


def test_what_a_token_holds_is_not_printed() -> None:
    """Objects end up in logs and tracebacks."""
    assert CLAIM.generation not in repr(CLAIM)


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """Readable by nobody else, and the same at the next start."""
    path = tmp_path / "data" / "token_secret"

    made = token_secret.load_or_create(path)

    assert len(made) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token_secret.load_or_create(path) == made
    assert [found.name for found in path.parent.iterdir()] == ["token_secret"]
    assert token_secret.load_or_create(tmp_path / "other") != made


def test_all_workers_get_the_same_secret(tmp_path: Path) -> None:
    """They start at the same time, and one of them is first."""
    path = tmp_path / "token_secret"
    script = (
        "import sys, time; from pathlib import Path; from gateway.identity import token_secret\n"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "print(token_secret.load_or_create(Path(sys.argv[1])).hex())"
    )
    import time

    at = str(time.time() + 1.0)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), at], stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    secrets = {worker.communicate(timeout=30)[0].strip() for worker in workers}

    assert len(secrets) == 1
    assert len(secrets.pop()) == 64


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"zz" * 32, b"\xff" * 64])
def test_a_damaged_secret_is_an_error(tmp_path: Path, content: bytes) -> None:
    """An empty one would be a secret that everybody knows."""
    path = tmp_path / "token_secret"
    path.write_bytes(content)

    with pytest.raises(StoreUnavailable, match="damaged"):
        token_secret.load_or_create(path)


def test_a_secret_that_others_can_read_is_closed_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A backup that was restored with other modes."""
    path = tmp_path / "token_secret"
    token_secret.load_or_create(path)
    path.chmod(0o644)

    token_secret.load_or_create(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "could be read by others" in caplog.text
