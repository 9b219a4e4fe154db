"""E2B's filesystem service on the wire: what its clients read of entries, and its errors."""

from __future__ import annotations

import pytest

from tests.support.e2b_envd import Envd
from tests.support.files import SandboxFiles
from tests.support.gateway_process import GatewayProcess

HOME = "/home/user"


@pytest.fixture(scope="module")
def envd(shared_gateway: GatewayProcess, module_sandbox: str) -> Envd:
    return Envd(shared_gateway, module_sandbox)


@pytest.fixture(scope="module")
def inside(shared_gateway: GatewayProcess, module_sandbox: str) -> SandboxFiles:
    return SandboxFiles(shared_gateway, module_sandbox)


def test_an_entry_says_all_that_clients_read(envd: Envd) -> None:
    """Names of owners, and what is always there."""
    envd.put("~/entry/file.txt", b"hello")
    entry = envd.said("Stat", path="entry/file.txt")["entry"]
    modified = entry.pop("modifiedTime")

    assert entry == {
        "name": "file.txt",
        "path": f"{HOME}/entry/file.txt",
        "type": "FILE_TYPE_FILE",
        "size": "5",
        "mode": 0o644,
        "permissions": "-rw-r--r--",
        "owner": "user",
        "group": "user",
    }
    assert modified.endswith("Z")
    assert modified[10] == "T"
    directory = envd.said("Stat", path="/home/user/./entry/")["entry"]
    assert (directory["type"], directory["permissions"], directory["path"]) == (
        *("FILE_TYPE_DIRECTORY", "drwxr-xr-x"),
        f"{HOME}/entry",
    )
    assert envd.said("Stat", path="/etc/passwd")["entry"]["owner"] == "root"
    assert envd.said("Stat", path="/tmp")["entry"]["permissions"] == "dtrwxrwxrwx"
    assert envd.said("Stat", path="~")["entry"]["path"] == HOME
    assert envd.said("Stat")["entry"]["path"] == HOME
    assert envd.said("Stat", path="/")["entry"]["name"] == "/"


def test_a_link_has_the_type_of_what_it_leads_to(envd: Envd, inside: SandboxFiles) -> None:
    """And says that it is one, which older clients do not read."""
    inside.shell(
        "mkdir -p links/d; echo 1 > links/f; ln -s ../links/f links/to-f; ln -s d links/to-d; "
        "ln -s nothing links/dangling; ln -s loop links/loop; mkfifo links/fifo"
    )

    def of(name: str) -> tuple[object, ...]:
        entry = envd.said("Stat", path=f"links/{name}")["entry"]
        return entry["type"], entry.get("isSymlink"), entry.get("symlinkTarget")

    assert of("f") == ("FILE_TYPE_FILE", None, None)
    assert of("to-f") == ("FILE_TYPE_FILE", True, f"{HOME}/links/f")
    assert of("to-d") == ("FILE_TYPE_DIRECTORY", True, f"{HOME}/links/d")
    assert of("dangling") == ("FILE_TYPE_SYMLINK", True, f"{HOME}/links/nothing")
    assert of("loop")[:2] == ("FILE_TYPE_SYMLINK", True)
    assert of("fifo") == ("FILE_TYPE_UNSPECIFIED", None, None)


def test_a_list_has_each_directory_before_its_content(envd: Envd, inside: SandboxFiles) -> None:
    """Sorted in each directory, by absolute path, and no link is entered."""
    inside.shell(
        "mkdir -p tree/a/b tree/c; touch tree/a/z tree/a/b/deep tree/a.txt tree/b; "
        "ln -s ../c tree/a/link; touch tree/c/in-c; printf x > $'tree/c/bad\\xff'"
    )

    def listed(**query: object) -> list[str]:
        entries = envd.said("ListDir", **query)["entries"]
        return [entry["path"].removeprefix(f"{HOME}/tree/") for entry in entries]

    flat = ["a", "a.txt", "b", "c"]
    assert listed(path="tree") == flat
    assert listed(path="tree", depth=0) == flat
    assert listed(path="tree", depth="1") == flat
    below = ["a", "a/b", "a/link", "a/z", "a.txt", "b", "c", "c/bad�", "c/in-c"]
    assert listed(path="tree", depth=2) == below
    whole = ["a", "a/b", "a/b/deep", *below[2:]]
    assert listed(path="tree", depth=4294967295) == whole
    assert listed(path="tree/a/link") == ["a/link/bad�", "a/link/in-c"]
    inside.shell("mkdir tree/empty")
    assert envd.said("ListDir", path="tree/empty") == {"entries": []}
    assert envd.refused("ListDir", path="tree/b") == (400, "invalid_argument")
    assert envd.refused("ListDir", path="tree/none") == (404, "not_found")


def test_a_long_list_comes_whole(envd: Envd, inside: SandboxFiles) -> None:
    """It is sent as it is read, piece by piece."""
    inside.shell("mkdir many; cd many; seq 3000 | xargs touch")
    entries = envd.said("ListDir", path="many")["entries"]

    assert [entry["name"] for entry in entries] == sorted(map(str, range(1, 3001)))


def test_directories_are_made_with_those_above(envd: Envd, inside: SandboxFiles) -> None:
    """Each is the user's. What is there already has a code of its own."""
    made = envd.said("MakeDir", path="made/a/b")["entry"]

    assert (made["path"], made["type"]) == (f"{HOME}/made/a/b", "FILE_TYPE_DIRECTORY")
    assert inside.shell("stat -c %U:%a made made/a").split() == ["user:755"] * 2
    assert envd.refused("MakeDir", path="made/a") == (409, "already_exists")
    assert envd.refused("MakeDir", path="/") == (409, "already_exists")
    inside.shell("touch made/file; ln -s nowhere made/dangling; ln -s a made/link")
    assert envd.refused("MakeDir", path="made/file") == (400, "invalid_argument")
    assert envd.refused("MakeDir", path="made/file/below") == (400, "invalid_argument")
    assert envd.refused("MakeDir", path="made/dangling") == (400, "invalid_argument")
    assert envd.refused("MakeDir", path="made/link") == (409, "already_exists")
    assert envd.refused("MakeDir", path="/usr/made") == (403, "permission_denied")


def test_a_move_makes_directories_and_replaces(envd: Envd, inside: SandboxFiles) -> None:
    """The entry is that of the new place."""
    inside.shell("mkdir moved; echo 1 > moved/a; echo 2 > moved/b")
    moved = envd.said("Move", source="moved/a", destination="moved/x/y/c")["entry"]

    assert (moved["path"], moved["size"]) == (f"{HOME}/moved/x/y/c", "2")
    envd.said("Move", source="moved/b", destination="moved/x/y/c")
    assert inside.shell("cat moved/x/y/c; ls moved").split() == ["2", "x"]
    envd.said("Move", source="moved/x", destination="/dev/shm/elsewhere")
    assert inside.shell("cat /dev/shm/elsewhere/y/c; ls moved").split() == ["2"]
    assert envd.refused("Move", source="moved/none", destination="moved/n/m") == (404, "not_found")
    assert inside.shell("ls moved") == ""
    assert envd.refused("Move", source="moved", destination="moved/into") == (
        *(400, "invalid_argument"),
    )


def test_what_is_not_there_is_removed_with_success(envd: Envd, inside: SandboxFiles) -> None:
    """Directories go with all that is in them; links are not followed."""
    inside.shell("mkdir -p gone/d/e; touch gone/d/e/f gone/stays; ln -s ../gone/stays gone/d/link")

    for path in ("gone/d", "gone/d", "gone/none/below", "gone/stays/below"):
        assert envd.said("Remove", path=path) == {}
    assert inside.shell("ls gone").split() == ["stays"]
    assert envd.refused("Remove", path="/") == (400, "invalid_argument")
    assert envd.refused("Remove", path="/etc/passwd") == (403, "permission_denied")


@pytest.mark.parametrize(
    ("method", "message", "refused"),
    [
        ("Stat", {"path": "none"}, (404, "not_found")),
        ("Stat", {"path": "/etc/passwd/x"}, (404, "not_found")),
        ("Stat", {"path": 5}, (400, "invalid_argument")),
        ("Stat", {"path": ["a"]}, (400, "invalid_argument")),
        ("Stat", {"path": "a\0b"}, (400, "invalid_argument")),
        ("Stat", {"path": "a" * 5000}, (400, "invalid_argument")),
        ("Stat", {"path": "a" * 300}, (400, "invalid_argument")),
        ("Stat", {"path": "/root/x"}, (403, "permission_denied")),
        ("ListDir", {"path": ".", "depth": -1}, (400, "invalid_argument")),
        ("ListDir", {"path": ".", "depth": 1.5}, (400, "invalid_argument")),
        ("ListDir", {"path": ".", "depth": "x"}, (400, "invalid_argument")),
        ("ListDir", {"path": ".", "depth": True}, (400, "invalid_argument")),
        ("ListDir", {"path": ".", "depth": {"a": 1}}, (400, "invalid_argument")),
        ("ListDir", {"path": "/root"}, (403, "permission_denied")),
        ("CreateWatcher", {"path": "/etc/passwd"}, (400, "invalid_argument")),
        ("CreateWatcher", {"path": "none"}, (404, "not_found")),
        ("CreateWatcher", {"path": ".", "recursive": "yes"}, (400, "invalid_argument")),
        ("GetWatcherEvents", {"watcherId": "none"}, (404, "not_found")),
        ("GetWatcherEvents", {"watcherId": 7}, (404, "not_found")),
        ("GetWatcherEvents", {}, (404, "not_found")),
        ("RemoveWatcher", {"watcherId": "x" * 5000}, (404, "not_found")),
        ("Unheard", {}, (501, "unimplemented")),
        ("Stat", b"no json", (400, "invalid_argument")),
        ("Stat", b"[]", (400, "invalid_argument")),
        ("Stat", b'{"path":"\xff"}', (400, "invalid_argument")),
        ("Stat", b'{"path":"\\ud800"}', (400, "invalid_argument")),
    ],
)
def test_bad_input_has_its_code(
    envd: Envd, method: str, message: object, refused: tuple[int, str]
) -> None:
    """Never a 500, never HTML."""
    answer = envd.call(method, message)

    assert (answer.status_code, answer.json()["code"]) == refused
    assert answer.json()["message"]


def test_unknown_fields_and_nulls_are_passed_over(envd: Envd) -> None:
    """Newer clients send what this gateway does not know."""
    assert envd.said("Stat", path="/tmp", newer={"a": 1})["entry"]["name"] == "tmp"
    assert envd.said("ListDir", path="/proc/self/fdinfo/../attr", depth=None)["entries"]


def test_another_user_is_refused(envd: Envd) -> None:
    """As a client expects it: unauthenticated, not a missing file."""
    for packed in ("bm9ib2R5Og==", "%%%"):
        answer = envd.call("Stat", {"path": "/tmp"}, Authorization=f"Basic {packed}")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    as_user = envd.call("Stat", {"path": "/tmp"}, Authorization="Basic dXNlcjo=")
    assert as_user.status_code == 200
