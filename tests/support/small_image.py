"""A tenth of the sandbox image, for an engine that has none.

An engine cannot share layers with another. `docker save | docker load` of the whole image
(540 MB) took 18 s on a busy machine, and removing it 7 s; this takes 3 to 7 s, and removing it 0.3.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import docker

PACKAGES = "base-files bash coreutils dash findutils grep procps sed util-linux libc6 libc-bin"

_SCRIPT = f"""
set -e
existing() {{
    while read -r path; do if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi; done
}}
python=$(dpkg-query --show --showformat '${{Package}} ' \
    'python3*-minimal' 'libpython3*-minimal' 'libpython3*-stdlib')
{{
    dpkg -L {PACKAGES} $python | grep -vE '^/usr/share/(doc|man|locale)' | existing
    # Libraries: the name that programs ask for, and the file behind it.
    ldd /bin/bash /bin/ls /bin/sort /bin/expr /bin/ps /bin/grep /bin/find /usr/bin/python3 \\
        /usr/lib/python3*/lib-dynload/*.so | grep -o ' /[^ ]*' | sort -u |
        while read -r library; do echo "$library"; readlink -f "$library"; done
    printf '%s\\n' /bin /sbin /lib /lib64 /etc/passwd /etc/group /home /home/user /tmp
# With /bin a link to usr/bin, /bin/ls is packed as /usr/bin/ls, once.
}} | sed -E 's,^/(bin|sbin|lib|lib64)/,/usr/\\1/,' | sort -u | grep -vxF /. |
    tar --create --absolute-names --no-recursion --files-from=- --file=/small.tar
"""


def bring_small_image(url: str, tag: str, folder: Path) -> None:
    """Make the image `tag` on the engine at `url`. `folder` is for what is on its way."""
    whole = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")
    packed = folder / "image.tar"
    _pack(whole, packed)
    target = docker.APIClient(url, version="auto", timeout=120)
    try:
        with tarfile.open(packed) as outer:
            small = outer.extractfile("small.tar")
            assert small is not None
            answer = target.import_image_from_data(
                small.read(), repository=tag, changes=["ENV LANG=C.UTF-8"]
            )
        assert '"error"' not in answer, answer
    finally:
        target.close()
        packed.unlink()


def _pack(image: str, target: Path) -> None:
    """Choose the files in a container of the image; write a tar around their tar to `target`."""
    api = docker.APIClient(version="auto", timeout=120)
    container = api.create_container(
        image,
        entrypoint=["/bin/bash", "-c", _SCRIPT],
        user="0:0",
        network_disabled=True,
        # scripts/lib/sweep.py finds it by that, should this process be killed.
        labels={"io.sandbox-gateway.instance": f"test-{os.getpid()}-image"},
    )
    try:
        api.start(container)
        status = api.wait(container)["StatusCode"]
        assert status == 0, api.logs(container)[-2000:]
        pieces, _ = api.get_archive(container, "/small.tar", chunk_size=1 << 20)
        with target.open("wb") as file:
            file.writelines(pieces)
    finally:
        api.remove_container(container, force=True, v=True)
        api.close()
