"""Images of containers: what stands in for snapshots where sandboxes have no disks."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.errors import ContainerGone
from tests.support.disk_workshop import MIB, Workshop

_FURNISH = """
cd /home/user && echo well > kept && chmod 640 kept && ln kept hard && mkfifo fifo
python3 -c 'import os, socket; os.setxattr("kept", "user.mark", b"x"); \
socket.socket(socket.AF_UNIX).bind("socket")'
touch .wh.hidden; truncate -s 300M sparse
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("shop") / "images")
    yield made
    made.close()


def test_an_image_of_a_container(workshop: Workshop) -> None:
    """Content, modes and links are kept; attributes, sockets and holes are not, and it is known
    before how much it will take. A paused container stays paused."""
    image = f"sandbox-test:{secrets.token_hex(4)}"
    source = workshop.make(disk_mb=None)
    assert workshop.run(source, "sh", "-c", _FURNISH) == ""
    workshop.engine.pause(source.container_id)

    size = workshop.engine.apparent_bytes(source.container_id)
    made = workshop.engine.commit(source.container_id, image)
    try:
        assert 300 * MIB < size < 310 * MIB
        assert workshop.engine.inspect(source.container_id).state == "paused"
        assert workshop.engine.image_id(image) == made
        copy = workshop.engine.start_container(replace(workshop.spec(), image=image))
        look = (
            "cd /home/user; cat hard; stat -c '%a %h' kept; stat -c %b sparse; ls -A | tr '\\n' ' '"
        )
        told = workshop.run(copy, "sh", "-c", look).splitlines()
        assert told[:2] == ["well", "640 2"]
        assert int(told[2]) * 512 >= 300 * MIB
        assert {"fifo", "hard", "kept", "sparse"} <= set(told[3].split())
        assert not {"socket", ".wh.hidden"} & set(told[3].split())
        workshop.engine.remove(copy.container_id)
    finally:
        workshop.engine.remove(source.container_id)
        workshop.engine.remove_image(image)
    assert not workshop.engine.has_image(image)
    workshop.engine.remove_image(image)


def test_of_a_container_that_is_gone(workshop: Workshop) -> None:
    gone = secrets.token_hex(32)

    with pytest.raises(ContainerGone):
        workshop.engine.apparent_bytes(gone)
    with pytest.raises(ContainerGone):
        workshop.engine.commit(gone, "sandbox-test:never")
