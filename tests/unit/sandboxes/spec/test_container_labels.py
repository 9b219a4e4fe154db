"""Labels: enough to find a container's sandbox again without the store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandboxes.spec import container_labels
from gateway.sandboxes.spec.container_labels import Origin, labels_of, origin_of


@given(created_at=st.floats(0, 1e11))
def test_what_is_written_is_read(created_at: float) -> None:
    """To the last bit: a restarted gateway shows the same `created_at`."""
    written = labels_of("instance", "a" * 32, created_at)

    assert written[container_labels.INSTANCE] == "instance"
    assert origin_of(written) == Origin("a" * 32, created_at)


def test_all_values_are_text() -> None:
    """The engine takes nothing else."""
    assert all(isinstance(value, str) for value in labels_of("i", "s", 1.5).values())


@pytest.mark.parametrize(
    "found",
    [
        {},
        {container_labels.SANDBOX_ID: "a"},
        {container_labels.CREATED_AT: "1.5"},
        {container_labels.SANDBOX_ID: "a", container_labels.CREATED_AT: "yesterday"},
        {container_labels.SANDBOX_ID: "a", container_labels.CREATED_AT: ""},
    ],
)
def test_foreign_labels_are_nobodys(found: dict[str, str]) -> None:
    """Somebody may have set the instance's label by hand."""
    assert origin_of(found) is None


@pytest.mark.parametrize(
    "found",
    [
        {container_labels.SANDBOX_ID: "../networks/bridge", container_labels.CREATED_AT: "1.5"},
        {container_labels.SANDBOX_ID: "", container_labels.CREATED_AT: "1.5"},
        {container_labels.SANDBOX_ID: "A B", container_labels.CREATED_AT: "1.5"},
        {container_labels.SANDBOX_ID: "a", container_labels.CREATED_AT: "nan"},
        {container_labels.SANDBOX_ID: "a", container_labels.CREATED_AT: "inf"},
    ],
    ids=["path", "empty", "spaces", "nan", "infinity"],
)
def test_impossible_values_are_nobodys(found: dict[str, str]) -> None:
    """They would get into addresses of the engine's API, and NaN into a JSON answer that no
    client can parse."""
    assert origin_of(found) is None
