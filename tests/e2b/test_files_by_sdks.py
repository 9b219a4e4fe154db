"""Files and watches through E2B's SDKs, unmodified: each method, in few programs."""

from __future__ import annotations

import pytest

from tests.support.e2b_sdks import NEWEST, OLDER, PYTHON, run_node, run_python
from tests.support.gateway_process import GatewayProcess

FILES = r"""
import io, json, time, urllib.request
from e2b import Sandbox, FileType, FilesystemEventType as Event
from e2b.exceptions import (
    InvalidArgumentException, NotFoundException, SandboxException, AuthenticationException
)

sandbox = Sandbox.{create}(timeout=300)
files = sandbox.files

def raises(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind as error:
        return str(error)
    raise AssertionError((kind, call, arguments))

info = files.write("a/b.txt", "text è")
assert (info.path, info.name) == ("/home/user/a/b.txt", "b.txt"), info
assert files.read("a/b.txt") == "text è"
assert bytes(files.read("a/b.txt", format="bytes")) == "text è".encode()
assert b"".join(files.read("a/b.txt", format="stream")) == "text è".encode()
files.write("/home/user/a/bytes", bytes(range(256)))
assert bytes(files.read("~/a/bytes", format="bytes")) == bytes(range(256))
files.write("a/io", io.BytesIO(b"io" * 100_000))
assert len(files.read("a/io", format="bytes")) == 200_000
files.write("empty", "")
assert files.read("empty") == ""
names = ["m/1", "m/2 è", 'm/quo"te', "m/back\\slash"]
written = files.{write_many}([{"path": name, "data": name} for name in names])
assert [one.path for one in written] == ["/home/user/" + name for name in names], written
assert [files.read(name) for name in names] == names
assert "does not exist" in raises(NotFoundException, files.read, "none")
raises((InvalidArgumentException, SandboxException), files.read, "a")
raises((InvalidArgumentException, SandboxException), files.write, "a", "onto a directory")
raises(AuthenticationException, files.read, "empty", user="nobody")

entry = files.get_info("a/b.txt")
assert (entry.type, entry.size, entry.mode, entry.owner, entry.group, entry.permissions) == (
    FileType.FILE, 7, 0o644, "user", "user", "-rw-r--r--"), entry
assert abs(entry.modified_time.timestamp() - time.time()) < 60
assert files.get_info("a").type == FileType.DIR
assert sorted(one.name for one in files.list("a")) == ["b.txt", "bytes", "io"]
assert [one.path for one in files.list(".", depth=2) if one.name == "1"] == ["/home/user/m/1"]
raises(InvalidArgumentException, files.list, "a", depth=0)
raises((NotFoundException, SandboxException), files.list, "none")
assert files.exists("a") and not files.exists("none")
assert files.make_dir("d/e/f") is True and files.make_dir("d/e/f") is False
moved = files.rename("a/b.txt", "d/moved")
assert moved.path == "/home/user/d/moved" and not files.exists("a/b.txt")
raises((NotFoundException, SandboxException), files.rename, "none", "other")
files.remove("d")
files.remove("d")
assert not files.exists("d")
assert files.list("/home/user/m") and files.get_info("/etc/passwd").owner == "root"

files.make_dir("w/below")
watch = files.watch_dir("w", recursive=True)
files.write("w/new", "1")
files.write("w/below/deep", "1")
told = [(event.name, event.type) for event in watch.get_new_events()]
assert told == [
    (name, kind) for name in ("new", "below/deep")
    for kind in (Event.CREATE, Event.CHMOD, Event.WRITE)], told
files.rename("w/new", "w/other")
files.remove("w/other")
told = [(event.name, event.type) for event in watch.get_new_events()]
assert told == [("new", Event.RENAME), ("other", Event.CREATE), ("other", Event.REMOVE)], told
assert watch.get_new_events() == []
watch.stop()
raises(SandboxException, watch.get_new_events)
raises((NotFoundException, SandboxException), files.watch_dir, "none")
raises((InvalidArgumentException, SandboxException), files.watch_dir, "empty")

with urllib.request.urlopen(sandbox.download_url("m/1", use_signature_expiration=60)) as answer:
    assert answer.read() == b"m/1"
address = sandbox.upload_url("uploaded")
head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
body = head + b"by url\r\n--b--\r\n"
headers = {"Content-Type": "multipart/form-data; boundary=b"}
urllib.request.urlopen(urllib.request.Request(address, body, headers)).close()
assert files.read("uploaded") == "by url"
{more}
sandbox.kill()
print(json.dumps("done"))
"""

NEWER = r"""
files.write("g", b"gzip" * 1000, gzip=True)
assert files.read("g", gzip=True) == "gzip" * 1000
def pieces():
    for _ in range(10):
        yield b"x" * 100_000
files.write("pieces", pieces())
assert files.get_info("pieces").size == 1_000_000
info = files.write("meta", "1", metadata={"Author": "me", "my_key": "two words"})
assert info.metadata == {"author": "me", "my_key": "two words"}, info
assert files.get_info("meta").metadata == info.metadata
assert files.write("meta", "2").metadata is None
watch = files.watch_dir("w", include_entry=True, allow_network_mounts=True)
files.write("w/entry", "12345")
last = watch.get_new_events()[-1]
assert (last.entry.size, last.entry.path) == (5, "/home/user/w/entry"), last
watch.stop()
link = files.get_info("/bin")
assert (link.type, link.symlink_target) == (FileType.SYMLINK, "/usr/bin"), link
"""


@pytest.mark.parametrize("sdk", PYTHON)
def test_files_through_the_synchronous_sdk(e2b_gateway: GatewayProcess, sdk: str) -> None:
    """What these versions have in common, and of the newest what is new."""
    program = (
        FILES.replace("{create}", "create")
        .replace("{write_many}", "write_files")
        .replace("{more}", NEWER if sdk == NEWEST else "")
    )

    assert run_python(e2b_gateway, program, sdk=sdk).said == "done"


ASYNC = r"""
import asyncio, json
from e2b import AsyncSandbox, FilesystemEventType as Event

async def main():
    sandbox = await AsyncSandbox.create(timeout=300)
    files = sandbox.files
    await files.make_dir("w/d")
    told, ended = asyncio.Queue(), asyncio.Queue()
    watch = await files.watch_dir("w", told.put, on_exit=ended.put, recursive=True)
    await files.write("w/d/new", "1")
    for kind in (Event.CREATE, Event.CHMOD, Event.WRITE):
        event = await asyncio.wait_for(told.get(), 10)
        assert (event.name, event.type) == ("d/new", kind), event
    await watch.stop()
    assert await files.read("w/d/new") == "1"
    assert b"".join([piece async for piece in await files.read("w/d/new", format="stream")]) == b"1"
    many = await files.write_files([{"path": "x/1", "data": "1"}, {"path": "x/2", "data": b"2"}])
    assert [one.name for one in many] == ["1", "2"]
    assert [one.name for one in await files.list("x")] == ["1", "2"]
    assert (await files.get_info("x/1")).size == 1
    assert await files.exists("x/1")
    assert (await files.rename("x/1", "x/3")).name == "3"
    await files.remove("x")
    assert not await files.exists("x")
    assert await files.make_dir("x") and not await files.make_dir("x")
    await asyncio.gather(*(files.write(f"x/{n}", str(n)) for n in range(20)))
    assert len(await files.list("x")) == 20

    watch = await files.watch_dir("w", told.put, on_exit=ended.put)
    await sandbox.kill()
    error = None
    while error is None:
        error = await asyncio.wait_for(ended.get(), 20)
    print(json.dumps(f"{type(error).__name__}: {error}"))

asyncio.run(main())
"""


@pytest.mark.parametrize("sdk", [NEWEST, OLDER])
def test_files_through_the_asynchronous_sdk(e2b_gateway: GatewayProcess, sdk: str) -> None:
    """Watches are streams here; one whose sandbox is killed ends with that."""
    said = str(run_python(e2b_gateway, ASYNC, sdk=sdk).said)

    assert "killed" in said or "end of life" in said or "not found" in said, said


NODE = r"""
import assert from 'node:assert'
import { Sandbox, FileType, FilesystemEventType, NotFoundError } from 'e2b'

const sandbox = await Sandbox.create({ timeoutMs: 300_000 })
const files = sandbox.files
const info = await files.write('a/b.txt', 'text è')
assert.equal(info.path, '/home/user/a/b.txt')
assert.equal(await files.read('a/b.txt'), 'text è')
assert.equal((await files.read('a/b.txt', { format: 'bytes' })).length, 7)
assert.equal((await (await files.read('a/b.txt', { format: 'blob' })).text()), 'text è')
let streamed = ''
for await (const piece of await files.read('a/b.txt', { format: 'stream' }))
  streamed += Buffer.from(piece).toString('utf8')
assert.equal(streamed, 'text è')
await files.write('empty', '')
assert.equal(await files.read('empty'), '')
const many = ['m/1', 'm/quo"te', 'm/è'].map((path) => ({ path, data: path }))
assert.equal((await files.writeFiles(many)).length, 3)
for (const one of many) assert.equal(await files.read(one.path), one.data)
await files.write('meta', '1', { metadata: { my_key: 'v', Other: 'w' } })
assert.deepEqual((await files.getInfo('meta')).metadata, { my_key: 'v', other: 'w' })
await files.write('g', 'gzip'.repeat(1000), { gzip: true })
assert.equal((await files.read('g', { gzip: true })).length, 4000)
const stream = new Blob(['x'.repeat(300_000)]).stream()
await files.write('stream', stream)
assert.equal((await files.getInfo('stream')).size, 300_000)
await assert.rejects(files.read('none'), NotFoundError)
assert.deepEqual((await files.list('a')).map((one) => one.name), ['b.txt'])
assert.equal((await files.getInfo('a')).type, FileType.DIR)
assert.equal(await files.exists('none'), false)
assert.equal(await files.makeDir('d/e'), true)
assert.equal(await files.makeDir('d/e'), false)
assert.equal((await files.rename('a/b.txt', 'd/moved')).path, '/home/user/d/moved')
const told = []
const tell = (event) => { told.push([event.name, event.type]) }
const watch = await files.watchDir('d', tell, { recursive: true })
await files.write('d/e/new', '1')
for (let tries = 0; told.length < 3 && tries < 200; tries++)
  await new Promise((go) => setTimeout(go, 50))
const kinds = ['CREATE', 'CHMOD', 'WRITE'].map((kind) => FilesystemEventType[kind])
assert.deepEqual(told, kinds.map((kind) => ['e/new', kind]))
await watch.stop()
await files.remove('d')
const address = await sandbox.downloadUrl('m/1', { useSignatureExpiration: 60_000 })
assert.equal(await (await fetch(address)).text(), 'm/1')
const form = new FormData()
form.append('file', new Blob(['by url']), 'x')
const target = await sandbox.uploadUrl('uploaded')
assert.equal((await fetch(target, { method: 'POST', body: form })).status, 200)
assert.equal(await files.read('uploaded'), 'by url')
await sandbox.kill()
console.log(JSON.stringify('done'))
"""


def test_files_through_the_sdk_for_javascript(e2b_gateway: GatewayProcess) -> None:
    assert run_node(e2b_gateway, NODE).said == "done"
