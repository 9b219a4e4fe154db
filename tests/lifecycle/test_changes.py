"""What sandboxes have changed, as `GET /sandboxes/{id}/changes` tells: on the real engine."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import shown
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of

HOME = "/home/user/"


def run(gateway: GatewayProcess, sandbox_id: str, command: str) -> str:
    result = result_of(gateway, sandbox_id, command)
    assert result["returncode"] == 0, result
    return str(result["output"])


def changes(gateway: GatewayProcess, sandbox_id: str, since: str | None = None) -> dict:
    query = "" if since is None else f"?since={since}"
    answer = gateway.get(f"/sandboxes/{sandbox_id}/changes{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def kinds(found: dict) -> tuple[list[str], list[str], list[str]]:
    return found["added"], found["modified"], found["deleted"]


@pytest.fixture
def taken(gateway: GatewayProcess, module_sandbox: str) -> Iterator[Callable[[], str]]:
    """Takes snapshots of the module's sandbox, and removes them after the test."""
    made: list[str] = []

    def take() -> str:
        answer = gateway.post(f"/sandboxes/{module_sandbox}/snapshots")
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["snapshot_id"])
        return made[-1]

    yield take
    for snapshot_id in made:
        gateway.delete(f"/snapshots/{snapshot_id}")


@pytest.mark.parametrize(
    ("before", "command", "added", "modified", "deleted"),
    [
        ("echo x > a", "mv a b", ["b"], [], ["a"]),
        ("echo x > a", "rm a; mkdir a; echo y > a/c", ["a/c"], ["a"], []),
        ("mkdir a; echo y > a/c", "rm -r a; echo x > a", [], ["a"], []),
        ("mkdir -p a/b; touch a/b/c a/d", "rm -r a", [], [], ["a"]),
        ("echo x > a", "ln a b", ["b"], ["a"], []),
        ("echo x > a; ln a b", "rm b", [], ["a"], ["b"]),
        ("echo x > a; mkdir d", "chmod 600 a; chmod 700 d", [], ["a", "d"], []),
        (
            "echo x > a",
            """python3 -c 'import os; os.setxattr("a", "user.mark", b"1")'""",
            [],
            ["a"],
            [],
        ),
        ("echo x > a; touch -d @1000000000 a", "echo y > a; touch -d @1000000000 a", [], ["a"], []),
        ("mkdir d; touch d/in; echo x > l", "rm l; ln -s d l; touch d/in2", ["d/in2"], ["l"], []),
        ("echo x > a", "cat a; ls; touch b; rm b; cp a c; rm c", [], [], []),
        (
            "true",
            "mkfifo p; touch 'with\nnewline' ' space'",
            [" space", "p", "with\nnewline"],
            [],
            [],
        ),
        ("mkdir d; echo x > d/a", "rm -r d; mkdir d; echo y > d/b", ["d/b"], [], ["d/a"]),
    ],
)
def test_what_is_told_since_a_snapshot(
    gateway: GatewayProcess,
    module_sandbox: str,
    taken: Callable[[], str],
    before: str,
    command: str,
    added: list[str],
    modified: list[str],
    deleted: list[str],
) -> None:
    """Each kind of change, by its names; what came and went between is none."""
    run(gateway, module_sandbox, f"rm -rf ~/t; mkdir ~/t; cd ~/t; {before}")
    snapshot = taken()
    assert kinds(changes(gateway, module_sandbox, snapshot)) == ([], [], [])

    run(gateway, module_sandbox, f"cd ~/t; {command}")

    found = changes(gateway, module_sandbox, snapshot)
    expected = tuple([f"{HOME}t/{one}" for one in paths] for paths in (added, modified, deleted))
    assert kinds(found) == expected
    assert found["counts"] == {
        "added": len(added),
        "modified": len(modified),
        "deleted": len(deleted),
    }
    assert found["truncated"] is False
    assert "not_utf8" not in found


def test_what_is_told_against_the_image(gateway: GatewayProcess, sandbox: str) -> None:
    """A new sandbox has changed nothing, whoever its user is; then what the image had is deleted
    by whiteouts, hidden by directories made anew, and changed."""
    assert kinds(changes(gateway, sandbox)) == ([], [], [])
    command = (
        "find ~ -mindepth 1 -maxdepth 1 -name '.bash_logout' -delete; "
        "echo more >> ~/.bashrc; mkdir ~/new; touch ~/new/file"
    )
    run(gateway, sandbox, command)

    found = changes(gateway, sandbox)
    assert found["added"] == [f"{HOME}new", f"{HOME}new/file"]
    assert found["modified"] == [f"{HOME}.bashrc"]
    assert found["deleted"] == [f"{HOME}.bash_logout"]

    run(gateway, sandbox, "rm -rf ~/.bashrc; mkdir ~/.bashrc; touch ~/.bash_logout")
    found = changes(gateway, sandbox)
    assert found["modified"] == [f"{HOME}.bash_logout", f"{HOME}.bashrc"]


def test_names_that_are_not_utf8(
    gateway: GatewayProcess, module_sandbox: str, taken: Callable[[], str]
) -> None:
    """Their bytes stand beside the lists, as elsewhere in the API."""
    snapshot = taken()
    run(gateway, module_sandbox, "touch ~/plain $'/home/user/n\\xff\\xfe'")

    found = changes(gateway, module_sandbox, snapshot)
    assert found["added"] == [f"{HOME}n��", f"{HOME}plain"]
    [one] = found["not_utf8"]
    assert (one["kind"], one["index"]) == ("added", 0)
    assert base64.b64decode(one["path_b64"]) == b"/home/user/n\xff\xfe"


def test_long_lists_are_cut_and_counts_are_true(
    gateway: GatewayProcess, module_sandbox: str, taken: Callable[[], str]
) -> None:
    """By their number and by their bytes."""
    run(gateway, module_sandbox, "mkdir ~/m; cd ~/m; seq 1500 | xargs touch")
    snapshot = taken()
    run(
        gateway,
        module_sandbox,
        "rm -r ~/m/??; mkdir ~/l; cd ~/l; n=$(printf %0200d 7); "
        "for i in $(seq 600); do : > $i$n; done",
    )
    found = changes(gateway, module_sandbox, snapshot)
    assert found["truncated"] is True
    assert found["counts"] == {"added": 601, "modified": 0, "deleted": 90}
    assert 200 < len(found["added"]) < 400
    assert len(found["deleted"]) == 90
    whole = changes(gateway, module_sandbox)
    assert len(whole["added"]) < whole["counts"]["added"]


def test_a_fork_is_compared_with_what_it_came_from(
    gateway: GatewayProcess, module_sandbox: str, taken: Callable[[], str]
) -> None:
    """Also one of a fork; a snapshot of a sandbox that has nothing to do with it is refused, and
    one that does not exist, or belongs to somebody else, is not there."""
    run(gateway, module_sandbox, "echo x > ~/base")
    snapshot = taken()
    answer = gateway.post(f"/sandboxes/{module_sandbox}/fork")
    fork = answer.json()[0]["sandbox_id"]
    other = gateway.create(snapshot=snapshot)
    stranger = gateway.create()
    try:
        for one in (fork, other):
            assert kinds(changes(gateway, one, snapshot)) == ([], [], [])
            run(gateway, one, "rm ~/base; touch ~/mine")
            assert kinds(changes(gateway, one, snapshot)) == (
                [f"{HOME}mine"],
                [],
                [f"{HOME}base"],
            )
        refused = gateway.get(f"/sandboxes/{stranger}/changes?since={snapshot}")
        assert problem_of(refused, 422)["code"] == "snapshot_unrelated"
        refused = gateway.get(f"/sandboxes/{stranger}/changes?since=nobodys")
        assert problem_of(refused, 404)["code"] == "snapshot_not_found"

        restored = gateway.post(f"/sandboxes/{stranger}/restore", json={"snapshot": snapshot})
        assert restored.status_code == 200, restored.text
        assert kinds(changes(gateway, stranger, snapshot)) == ([], [], [])
    finally:
        for one in (fork, other, stranger):
            gateway.delete(f"/sandboxes/{one}")


def test_a_paused_sandbox_stays_paused(gateway: GatewayProcess, sandbox: str) -> None:
    """While it is looked at."""
    run(gateway, sandbox, "touch ~/x")
    gateway.post(f"/sandboxes/{sandbox}/pause")
    assert changes(gateway, sandbox)["added"] == [f"{HOME}x"]
    assert shown(gateway, sandbox)["status"] == "paused"
    assert gateway.engine.inspect(sandbox)["State"]["Paused"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("?since=A", 422, "invalid_fields"), ("?until=x", 422, "invalid_fields")],
)
def test_what_cannot_be_asked(
    gateway: GatewayProcess, module_sandbox: str, query: str, status: int, code: str
) -> None:
    answer = gateway.get(f"/sandboxes/{module_sandbox}/changes{query}")
    assert problem_of(answer, status)["code"] == code


def test_where_there_is_no_disk_there_are_no_changes(gateway: GatewayProcess) -> None:
    """As there are no snapshots."""
    strict = gateway.create(isolation="strict")
    try:
        answer = gateway.get(f"/sandboxes/{strict}/changes")
        assert problem_of(answer, 422)["code"] == "feature_missing"
    finally:
        gateway.delete(f"/sandboxes/{strict}")
