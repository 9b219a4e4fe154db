"""A user of its own for each sandbox: who it is, what it owns, and what earlier versions made."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path

import docker
import pytest

from gateway.errors import HostToolFailed
from gateway.host.image_files import owned_by, topmost
from gateway.host.layer_users import with_uid
from tests.security.conftest import LEVELS, Place
from tests.support.clients import Connection
from tests.support.engine_view import UIDS
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import MakeGateway, stored_state
from tests.support.old_store import back_to_version_6
from tests.support.rest_commands import result_of

LEVELS_OF_THE_USER = [level for level in LEVELS if level != "root"]


def _ids(client: Connection) -> list[str]:
    return client.output_of("id -u; id -un; id -g; id -gn; echo $HOME; cd; pwd").splitlines()


@pytest.mark.parametrize("place", LEVELS_OF_THE_USER, indirect=True)
def test_it_is_still_called_user(place: Place, client: Connection) -> None:
    """At every level: the image's name, group and home, and a number of its own."""
    assert int(place.uid) in UIDS
    assert _ids(client) == [place.uid, "user", "1000", "user", "/home/user", "/home/user"]


@pytest.mark.parametrize("place", LEVELS_OF_THE_USER, indirect=True)
def test_its_home_is_its_own(place: Place, client: Connection) -> None:
    """Nothing of the image's user 1000 is left over, and what commands make belongs to it."""
    foreign = client.output_of("find / -xdev -uid 1000 -not -path '/proc/*' 2>/dev/null; true")
    made = client.output_of(
        "cd && mkdir -p a/b && touch a/b/c /tmp/mine"
        " && find . a/b/c /tmp/mine -maxdepth 0 -printf '%U:%G\n'"
    )

    assert foreign == ""
    assert made.split() == [f"{place.uid}:1000"] * 3


@pytest.mark.parametrize("level", ["standard", "gvisor"])
def test_the_images_files_of_the_user_are_all_there(
    places: Callable[[str], Place], level: str
) -> None:
    """With their modes and times, and writable; the directories above stay root's. (At level
    `strict` the home of the image is hidden.)"""
    with places(level).connect() as client:
        listed = client.output_of(
            "cd / && find home home/user/.bashrc home/user/.local/bin etc etc/passwd -maxdepth 0 "
            "-printf '%p %u:%g %m\n' && cmp /etc/skel/.bashrc ~/.bashrc && echo x >> ~/.bashrc"
            " && find ~/.profile /etc/skel/.profile -printf '%T@\n'"
        ).splitlines()

    assert listed[:5] == [
        "home root:root 755",
        "home/user/.bashrc user:user 644",
        "home/user/.local/bin user:user 755",
        "etc root:root 755",
        "etc/passwd root:root 644",
    ]
    assert float(listed[5]) == pytest.approx(float(listed[6]), abs=1)


def test_no_two_have_the_same_and_the_host_sees_it(places: Callable[[str], Place]) -> None:
    """The agent and the commands run as it; the holder of the container as nobody."""
    place = places("standard")
    made = [place.create() for _ in range(3)]
    engine = place.gateway.engine
    uids = {int(engine.uid_of(one)) for one in made} | {int(place.uid)}
    for sandbox_id in made:
        assert result_of(place.gateway, sandbox_id, "true")["success"] is True
        seen = {process.uids().real for process in engine.processes(sandbox_id)}
        assert seen == {65534, int(engine.uid_of(sandbox_id))}
        place.gateway.delete(f"/sandboxes/{sandbox_id}")

    assert len(uids) == 4
    assert uids <= set(UIDS)


def test_pooled_ones_have_their_own(own_gateway: MakeGateway) -> None:
    """Chosen when they are made, and kept when they are taken and when their limits change."""
    gateway = own_gateway(pool_size="2", workers="1").start_ready()

    def full() -> dict[str, str] | None:
        pooled = gateway.engine.pooled()
        ready = [one for one in pooled if stored_state(gateway, one) == "pooled"]
        return pooled if len(ready) == 2 else None

    pooled = eventually(full, within_s=60)
    before = {one: gateway.engine.uid_of(one) for one in pooled}
    taken = [gateway.create(), gateway.create(memory_mb=200)]

    assert set(taken) == set(pooled)
    assert len(set(before.values())) == 2
    for sandbox_id in taken:
        assert result_of(gateway, sandbox_id, "id -u")["output"] == before[sandbox_id] + "\n"
        assert _stored_uid(gateway, sandbox_id) == int(before[sandbox_id])


def _stored_uid(gateway: GatewayProcess, sandbox_id: str) -> int:
    with closing(sqlite3.connect(gateway.data_dir / "gateway.db")) as store:
        query = "SELECT uid FROM sandboxes WHERE sandbox_id = ?"
        return int(store.execute(query, (sandbox_id,)).fetchone()[0])


def test_what_an_earlier_version_made_goes_on(own_gateway: MakeGateway) -> None:
    """Its sandboxes run as user 1000, its store has no column for users: the file is opened as it
    is, and the sandboxes are used on, also by a new agent."""
    gateway = own_gateway(uids="", workers="1").start_ready()
    posture = gateway.get("/readyz").json()["posture"]["users"]
    assert posture["ok"] is False
    assert "share" in posture["detail"]
    old, other = gateway.create(), gateway.create()
    assert result_of(gateway, old, "touch mine; id -u")["output"] == "1000\n"
    gateway.kill()
    back_to_version_6(gateway.data_dir / "gateway.db")

    gateway.start(SANDBOX_UIDS="65536-99999")

    assert gateway.listed() == {old, other}
    for sandbox_id in (old, other):
        told = result_of(gateway, sandbox_id, "id -u; touch ~/more /tmp/more; echo $?")
        assert told["output"] == "1000\n0\n"
    new = gateway.create()
    assert int(result_of(gateway, new, "id -u")["output"]) in UIDS


def test_a_lost_store_loses_no_user(own_gateway: MakeGateway) -> None:
    """The container's label says who it is."""
    gateway = own_gateway(workers="1").start_ready()
    sandbox_id = gateway.create()
    uid = gateway.engine.uid_of(sandbox_id)
    gateway.kill()
    for file in gateway.data_dir.glob("gateway.db*"):
        file.unlink()

    gateway.start()
    eventually(lambda: gateway.status_of(sandbox_id) == "idle")

    assert result_of(gateway, sandbox_id, "id -u; id -un")["output"] == f"{uid}\nuser\n"
    assert _stored_uid(gateway, sandbox_id) == int(uid)


# --- other images --------------------------------------------------------------------------------


@contextmanager
def _image(recipe: str) -> Iterator[str]:
    """The sandbox image with more in it."""
    base = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")
    tag = f"sandbox-gateway-test-{os.getpid()}:{secrets.token_hex(4)}"
    with closing(docker.APIClient(version="auto", timeout=120)) as api:
        script = f"FROM {base}\nUSER root\n{recipe}\n".encode()
        for line in api.build(fileobj=BytesIO(script), tag=tag, rm=True, decode=True):
            assert "error" not in line, line
        try:
            yield tag
        finally:
            api.remove_image(tag, force=True)


_LAYERED = r"""
RUN mkdir -p /opt/app/data /opt/gone /opt/old && echo one > /opt/app/data/f && touch /opt/gone/x \
 && touch /opt/old/y && chown -R 1000:1000 /opt
RUN echo two > /opt/app/data/f && chmod 600 /opt/app/data/f && rm -r /opt/gone \
 && rm -r /opt/old && mkdir /opt/old && touch /opt/old/z && chown 1000:1000 /opt/old \
 && ln -s data/f /opt/app/link && chown -h 1000:1000 /opt/app/link && chmod 1770 /opt/app
RUN usermod -l node user && chown root /opt/old/z && chown 1000 /etc/passwd
"""

_MANY = "RUN mkdir /many && cd /many && seq 5000 | xargs touch && chown -R 1000 ."


@pytest.fixture(scope="module")
def two_images(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[GatewayProcess, str, str]]:
    """A gateway, and two images that it allows."""
    with _image(_LAYERED) as layered, _image(_MANY) as many:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("images"), image=layered, images=many, workers="1"
        )
        try:
            yield gateway.start_ready(), layered, many
        finally:
            gateway.close()


def test_files_of_the_user_in_other_places_change_hands(
    two_images: tuple[GatewayProcess, str, str],
) -> None:
    """An application that belongs to user 1000, through several layers: replaced, removed, hidden,
    linked, and not readable for others."""
    gateway, image, _ = two_images
    sandbox_id = gateway.create(image=image)
    uid = gateway.engine.uid_of(sandbox_id)
    told = result_of(
        gateway,
        sandbox_id,
        "id -un; cat /opt/app/link; ls /opt /opt/old; cd /opt/app && "
        "stat -c '%n %u %a' . link data data/f ../old/z /etc/passwd; "
        "echo more >> data/f && touch new",
    )

    assert int(uid) in UIDS
    assert told["output"].splitlines() == [
        *("node", "two", "/opt:", "app", "old", "", "/opt/old:", "z"),
        *(f". {uid} 1770", f"link {uid} 777", f"data {uid} 755", f"data/f {uid} 600"),
        *("../old/z 0 644", f"/etc/passwd {uid} 644"),
    ]
    assert told["error"] == ""


def test_an_image_with_very_many_files_of_its_user_keeps_its_user(
    two_images: tuple[GatewayProcess, str, str],
) -> None:
    """To copy them would slow every create; the posture says that its sandboxes share a user."""
    gateway, _, image = two_images
    told = result_of(gateway, gateway.create(image=image), "id -u; touch /many/1; echo $?")

    def shared() -> str | None:
        posture = gateway.get("/readyz").json()["posture"]["users"]
        return None if posture["ok"] else posture["detail"]

    assert told["output"] == "1000\n0\n"
    # What the host enforces is not looked at anew for each question.
    assert "4096" in eventually(shared, within_s=60)


def test_the_posture_says_that_each_has_its_own(places: Callable[[str], Place]) -> None:
    """By name, for SANDBOX_REQUIRE."""
    posture = places("standard").gateway.get("/readyz").json()["posture"]["users"]

    assert posture["ok"] is True
    assert "user of its own" in posture["detail"]


# --- the decisions -------------------------------------------------------------------------------


@pytest.fixture
def layers(tmp_path: Path) -> list[str]:
    """Two, the topmost first."""
    for name in ("upper", "lower"):
        (tmp_path / name).mkdir()
    return [str(tmp_path / "upper"), str(tmp_path / "lower")]


def _put(layer: str, path: str, uid: int = 1000) -> None:
    target = Path(layer, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    os.chown(target, uid, uid)


def test_the_topmost_counts(layers: list[str]) -> None:
    """A file that an upper layer gives to root is not the user's any more, and the reverse."""
    _put(layers[1], "a/given")
    _put(layers[0], "a/given", 0)
    _put(layers[1], "a/got", 0)
    _put(layers[0], "a/got")
    _put(layers[1], "a/kept")

    assert [file.path for file in owned_by(1000, layers)] == ["a/got", "a/kept"]


@pytest.mark.parametrize("hide", ["whiteout", "whiteout above", "opaque", "file", "link"])
def test_what_is_hidden_is_not_there(layers: list[str], hide: str) -> None:
    """Each way in which overlayfs hides lower entries."""
    upper = Path(layers[0])
    _put(layers[1], "a/b/c")
    if hide == "opaque":
        (upper / "a/b").mkdir(parents=True)
        os.setxattr(upper / "a/b", "trusted.overlay.opaque", b"y")
    elif hide.startswith("whiteout"):
        (upper / "a/b").mkdir(parents=True)
        hidden = upper / "a/b/c" if hide == "whiteout" else upper / "a/b"
        if hide != "whiteout":
            hidden.rmdir()
        os.mknod(hidden, 0o20000, 0)
    else:
        (upper / "a").mkdir()
        if hide == "file":
            (upper / "a/b").touch()
        else:
            (upper / "a/b").symlink_to("/etc")

    assert topmost("a/b/c", layers) is None
    assert owned_by(1000, layers) == []


def test_a_name_that_is_no_text_is_refused(layers: list[str]) -> None:
    """It could not be copied under its name."""
    Path(os.fsdecode(os.fsencode(layers[0]) + b"/\xff")).touch()
    os.chown(os.fsencode(layers[0]) + b"/\xff", 1000, 1000)

    with pytest.raises(HostToolFailed, match="UTF-8"):
        owned_by(1000, layers)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"user:x:1000:1000::/home/user:/bin/bash\n", b"user:x:7:1000::/home/user:/bin/bash\n"),
        (b"root:x:0:1000::/:/x\na:x:1000:1::/:/x", b"root:x:0:1000::/:/x\na:x:7:1::/:/x"),
        (b"a:x:1000:1::/:\nb:x:1000:2::/:\n", b"a:x:7:1::/:\nb:x:7:2::/:\n"),
        (b"broken:1000\n\n\xff:x:10000:1::/:\n", b"broken:1000\n\n\xff:x:10000:1::/:\n"),
    ],
)
def test_names_go_with_the_number(before: bytes, after: bytes) -> None:
    """Whoever had the number, and nobody else; what is no entry stays as it is."""
    assert with_uid(before, 1000, 7) == after
