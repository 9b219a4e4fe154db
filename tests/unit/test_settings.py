"""Configuration fails loudly, in one line, with the variable's name and the bad value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import SettingsError
from gateway.settings import MIB, load_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SANDBOX_"):
            monkeypatch.delenv(name)


def test_defaults_are_those_of_the_contract() -> None:
    """Port 8003, an hour of idle time, 8 MiB of output; loopback only, as nobody has a key."""
    settings = load_settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8003)
    assert settings.idle_timeout == 3600
    assert settings.max_output_bytes == 8 * MIB
    assert settings.image == "sandbox-websocket-image"


WRONG = {
    "SANDBOX_PORT": ["0", "65536", "-1", "http", "", "8003x", "1.5"],
    "SANDBOX_WORKERS": ["0", "many", "1000"],
    "SANDBOX_IDLE_TIMEOUT": ["0", "-5", "soon", "nan", "inf"],
    "SANDBOX_MEMORY_MB": ["1", "1g"],
    "SANDBOX_CPUS": ["0", "nan", "inf"],
    "SANDBOX_PIDS": ["0", "x"],
    "SANDBOX_FILE_SIZE_MB": ["0"],
    "SANDBOX_MAX_OUTPUT_MB": ["0", "17"],
    "SANDBOX_MAX_MESSAGE_KB": ["0"],
    "SANDBOX_PING_INTERVAL": ["0", "nan"],
    "SANDBOX_ENGINE_TIMEOUT": ["0", "nan"],
    "SANDBOX_LOG_LEVEL": ["loud", ""],
    "SANDBOX_NETWORK": ["host", "container:abc", "a b", "../x", ""],
    "SANDBOX_DISK_MB": ["0", "15", "8g"],
    "SANDBOX_DISK_FLOOR_MB": ["-1", "some"],
    "SANDBOX_EGRESS": ["", "some"],
    "SANDBOX_EGRESS_DOMAINS": ["*", "10.0.0.1", "PyPI.org", "*.1", "a b.org", "https://pypi.org"],
    "SANDBOX_EGRESS_PROXY_PORT": ["0", "65536"],
    "SANDBOX_EGRESS_ALLOW": ["10.0.0.1/8", "example.org", "10.0.0.0/33"],
    "SANDBOX_INSTANCE": ["With Spaces", "ä", "a" * 64],
    "SANDBOX_IMAGE": [""],
    "SANDBOX_HOST": [""],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The operator sees which variable, which value and why, not a traceback of a library."""
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as raised:
        load_settings()

    message = str(raised.value)
    assert "\n" not in message
    assert f"{name}={value}" in message
    assert "pydantic" not in message


def test_settings_cannot_be_changed() -> None:
    """Read once; every part sees the same."""
    settings = load_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_the_instance_follows_the_data_directory(tmp_path: Path) -> None:
    """The same directory by another path is the same gateway; another directory is another."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)

    instance = load_settings(data_dir=real).instance_id

    assert load_settings(data_dir=link).instance_id == instance
    assert load_settings(data_dir=tmp_path / "other").instance_id != instance
    assert load_settings(data_dir=real, instance="mine").instance_id == "mine"


def test_a_start_with_a_wrong_value_ends_with_that_line(tmp_path: Path) -> None:
    """What the operator really sees: gunicorn ends, and the line is there."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            "python:gateway.gunicorn_config",
            "wsgi:app",
        ],
        cwd=ROOT,
        env={**os.environ, "SANDBOX_PORT": "http", "SANDBOX_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode != 0
    assert "SANDBOX_PORT=http" in done.stderr
