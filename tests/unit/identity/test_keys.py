"""How keys are written down and found: hashed, named, long enough, and never told."""

from __future__ import annotations

import ast
import hashlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import SettingsError
from gateway.identity import keys
from gateway.identity.keys import (
    E2B_KEY,
    ApiKey,
    Keyring,
    digest_of,
    line_of,
    new_e2b_key,
    new_key,
    parse_file,
    parse_inline,
)
from tests.support.keys import ALICE, BOB, NOBODYS

ROOT = Path(__file__).resolve().parents[3]


def _hashed(key: str) -> str:
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def test_keys_are_found_by_what_was_shown() -> None:
    """Plain and hashed ones, each by its own text only."""
    keyring = Keyring(parse_inline(f"alice:{ALICE}, bob:{_hashed(BOB)} ,"))

    assert len(keyring) == 2
    assert keyring.find(ALICE).name == "alice"
    assert keyring.find(BOB).name == "bob"
    for wrong in (NOBODYS, "", ALICE[:-1], ALICE + "x", ALICE.upper(), _hashed(BOB), "ä", "\udcff"):
        assert keyring.find(wrong) is None


def test_a_file_has_limits_and_comments() -> None:
    """Everything after the digest is a limit; what is not limited is None."""
    found = parse_file(
        f"# who may use the gateway\n\nalice {_hashed(ALICE)} max_sandboxes=5 max_cpus=2.5 "
        f"max_memory_mb=4096 rate=10/s  # the first\r\n  bob\tsha256:{_hashed(BOB)[7:].upper()}\n"
    )

    assert [key.name for key in found] == ["alice", "bob"]
    limits = found[0].limits
    assert (limits.max_sandboxes, limits.max_cpus, limits.max_memory_mb) == (5, 2.5, 4096)
    assert limits.rate == 10
    assert found[1].limits == keys.NO_LIMITS
    assert Keyring(found).find(BOB).name == "bob"


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        f"alice {ALICE}",
        "alice sha256:00",
        "alice sha256:" + "g" * 64,
        f"{ALICE} alice",
        f"a/b {_hashed(ALICE)}",
        f"../x {_hashed(ALICE)}",
        f"{'a' * 65} {_hashed(ALICE)}",
        f"älice {_hashed(ALICE)}",
        f"alice {_hashed(ALICE)} rate=10",
        f"alice {_hashed(ALICE)} rate=0/s",
        f"alice {_hashed(ALICE)} rate=/s",
        f"alice {_hashed(ALICE)} rate=nan/s",
        f"alice {_hashed(ALICE)} max_sandboxes=-1",
        f"alice {_hashed(ALICE)} max_sandboxes=1.5",
        f"alice {_hashed(ALICE)} max_cpus=inf",
        f"alice {_hashed(ALICE)} max_cpus=1 max_cpus=2",
        f"alice {_hashed(ALICE)} max_sandboxs=1",
        f"alice {_hashed(ALICE)} {ALICE}",
    ],
)
def test_a_wrong_line_is_named_by_its_number(line: str) -> None:
    """The operator finds it, and no key is in the message, which goes to logs."""
    with pytest.raises(SettingsError, match=r"^line 2: ") as raised:
        parse_file(f"# keys\n{line}\n")

    assert ALICE[:12] not in str(raised.value)
    assert _hashed(ALICE) not in str(raised.value)


@pytest.mark.parametrize(
    "entry",
    [
        "alice",
        "alice:",
        ":" + ALICE,
        "alice:short",
        "alice:" + "x" * 23,
        "alice:" + "x" * 257,
        "alice:with blanks 0123456789abcdef",
        "alice:ümlaut-0123456789abcdefghi",
        "alice:sha256:abc",
        "alice:sgt_0123456789abcdefghijklmnop",
    ],
)
def test_a_wrong_entry_is_refused_without_the_key(entry: str) -> None:
    """A short key could be guessed, and its digest be reversed."""
    with pytest.raises(SettingsError, match=r"^entry 2: |^entry 2 is") as raised:
        parse_inline(f"bob:{BOB},{entry}")

    secret = entry.partition(":")[2]
    assert not secret or secret not in str(raised.value)


def test_a_key_of_the_shortest_length_is_taken() -> None:
    """24 characters of base64 are 144 bits."""
    assert Keyring(parse_inline("a:" + "k" * 24)).find("k" * 24)


def test_one_name_may_have_several_keys() -> None:
    """Rotation: the new one is handed out while the old one still works. Limits are the name's."""
    both = Keyring(parse_file(f"ci {_hashed(ALICE)} rate=5/s\nci {_hashed(BOB)} rate=5/s"))
    assert both.find(ALICE).name == both.find(BOB).name == "ci"
    assert both.limits_of("ci").rate == 5

    with pytest.raises(SettingsError, match="different limits"):
        Keyring(parse_file(f"ci {_hashed(ALICE)} rate=5/s\nci {_hashed(BOB)} rate=6/s"))
    with pytest.raises(SettingsError, match="twice"):
        Keyring(parse_file(f"ci {_hashed(ALICE)}\nother {_hashed(ALICE)}"))


def test_no_key_is_kept() -> None:
    """Neither in the objects nor in what they print."""
    [key] = parse_inline(f"alice:{ALICE}")

    assert ALICE not in repr(vars(key))
    assert key.digest.hex() not in repr(key)
    assert repr(key.digest) not in repr(key)


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By construction: one function compares, all keys each time, whichever matches."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((bytes(one), bytes(other)))
        return bytes(one) == bytes(other)

    names = [f"key{n}" for n in range(5)]
    keyring = Keyring([ApiKey(name, digest_of(name * 10)) for name in names])
    monkeypatch.setattr(keys.hmac, "compare_digest", compare)

    for name in [*names, "unknown"]:
        compared.clear()
        keyring.find(name * 10)
        assert len(compared) == len(names)

    in_source = ast.dump(ast.parse(inspect.getsource(Keyring).strip()))
    assert "compare_digest" in in_source
    assert "Break" not in in_source


@given(st.text(max_size=300))
def test_whatever_is_written_is_taken_or_refused(text: str) -> None:
    """No other exception: a typing error of the operator is never a traceback."""
    for parse in (parse_inline, parse_file):
        said = ""
        try:
            Keyring(parse(text))
        except SettingsError as error:
            said = str(error)
        assert len(said) < 300
        assert "\n" not in said


def test_a_new_key_is_long_and_random() -> None:
    """256 bits, of characters that need no quoting anywhere."""
    made = {new_key() for _ in range(100)}

    assert len(made) == 100
    for key in made:
        assert len(key) >= 40
        assert key.replace("_", "").replace("-", "").isalnum()


def test_the_script_prints_a_key_and_its_line() -> None:
    """What it prints can be pasted into the file, and the key opens."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "new_key"), "ci"], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    key_line, file_line = done.stdout.splitlines()
    key, line = key_line.split()[-1], file_line.partition(": ")[2]
    assert Keyring(parse_file(line)).find(key).name == "ci"
    assert key not in file_line
    refused = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "new_key"), "a b"], capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert refused.stdout == ""


def test_a_key_for_e2bs_clients_is_a_key_like_any_other() -> None:
    """In the form that their SDKs insist on, of 256 random bits, and told by it."""
    key = new_e2b_key()

    assert E2B_KEY.fullmatch(key)
    assert len(key) == len("e2b_") + 64
    assert key != new_e2b_key()
    [parsed] = parse_inline(f"alice:{key}")
    assert Keyring([parsed]).find(key) == parsed
    assert line_of("alice", key).startswith("alice sha256:")
