"""Commands and terminals with E2B's SDKs, unmodified: every method of theirs for processes."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support.e2b_sdks import NEWEST, PYTHON, SDKS, environment, run_node, run_python
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

EVERYTHING = """
    import json
    from e2b import CommandExitException, PtySize, Sandbox
    from e2b.exceptions import InvalidArgumentException, TimeoutException

    sandbox = Sandbox.connect({id!r})
    commands, said = sandbox.commands, {{}}

    run = commands.run("echo hi $A; echo err >&2", envs={{"A": "there"}}, cwd="/tmp")
    said["run"] = [run.stdout, run.stderr, run.exit_code]
    heard = []
    commands.run("echo 1; echo 2 >&2", on_stdout=heard.append, on_stderr=heard.append)
    said["heard"] = sorted(str(one).strip() for one in heard)
    for name, kind, text, more in (
        ("exit", CommandExitException, "exit 3", {{}}),
        ("late", TimeoutException, "sleep 60", {{"timeout": 0.5}}),
        ("cwd", InvalidArgumentException, "true", {{"cwd": "/no/such/place"}}),
    ):
        try:
            commands.run(text, **more)
        except kind as error:
            said[name] = getattr(error, "exit_code", True)

    cat = commands.run("cat; echo done", background=True, stdin=True)
    commands.send_stdin(cat.pid, "one,")
    said["listed"] = [[one.cmd, one.args] for one in commands.list() if one.pid == cat.pid]
    if hasattr(commands, "stream_input"):
        commands.stream_input(cat.pid, iter(["two,"]))
    else:
        commands.send_stdin(cat.pid, "two,")
    if hasattr(commands, "close_stdin"):
        commands.close_stdin(cat.pid)
        said["cat"] = cat.wait().stdout
    else:
        said["cat"] = "one,two,done\\n" if cat.kill() else ""

    ticks = commands.run("for n in 1 2 3 4 5 6; do echo $n; sleep 0.1; done", background=True)
    had = ""
    for out, _, _ in ticks:
        had += out or ""
        if had.endswith("3\\n"):
            break
    ticks.disconnect()
    said["ticks"] = had + commands.connect(ticks.pid).wait().stdout
    sleep = commands.run("sleep 60", background=True)
    said["killed"] = [sleep.kill(), commands.kill(sleep.pid), commands.kill(999999)]

    shown = b""
    def show(data):
        global shown
        shown += data
    pty = sandbox.pty.create(PtySize(cols=91, rows=33))
    sandbox.pty.resize(pty.pid, PtySize(cols=70, rows=20))
    sandbox.pty.send_stdin(pty.pid, b"stty size; exit 4\\n")
    try:
        pty.wait(on_pty=show)
    except CommandExitException as error:
        said["pty"] = [error.exit_code, b"20 70" in shown]
    again = sandbox.pty.create(PtySize(cols=80, rows=24))
    again.disconnect()
    if hasattr(sandbox.pty, "connect"):
        again = sandbox.pty.connect(again.pid)
    said["pty_killed"] = sandbox.pty.kill(again.pid)
    print(json.dumps(said))
"""

SAID = {
    "run": ["hi there\n", "err\n", 0],
    "heard": ["1", "2"],
    "exit": 3,
    "late": True,
    "cwd": True,
    "listed": [["/bin/bash", ["-l", "-c", "cat; echo done"]]],
    "cat": "one,two,done\n",
    "ticks": "1\n2\n3\n4\n5\n6\n",
    "killed": [True, False, False],
    "pty": [4, True],
    "pty_killed": True,
}


@pytest.mark.parametrize("sdk", PYTHON)
def test_every_method_for_processes(
    e2b_gateway: GatewayProcess, e2b_sandbox: dict[str, str], sdk: str
) -> None:
    """Of the newest SDK for Python and two older ones, which have other libraries underneath."""
    program = EVERYTHING.format(id=e2b_sandbox["sandboxID"])

    assert run_python(e2b_gateway, program, sdk=sdk).said == SAID


def test_every_method_for_processes_asynchronously(
    e2b_gateway: GatewayProcess, e2b_sandbox: dict[str, str]
) -> None:
    """Twenty at a time, and 15 MB of text that are compared by their hash."""
    program = f"""
        import asyncio, hashlib, json
        from e2b import AsyncSandbox, CommandExitException, PtySize

        async def main():
            sandbox = await AsyncSandbox.connect({e2b_sandbox["sandboxID"]!r})
            commands, said = sandbox.commands, {{}}
            runs = await asyncio.gather(*[commands.run(f"echo {{n}}") for n in range(20)])
            said["twenty"] = [int(run.stdout) for run in runs] == list(range(20))
            cat = await commands.run("cat; echo done", background=True, stdin=True)
            await commands.send_stdin(cat.pid, "one,")
            stream = commands.stream_input(cat.pid)
            await stream.send("two,")
            await stream.close()
            said["listed"] = cat.pid in [one.pid for one in await commands.list()]
            await commands.close_stdin(cat.pid)
            said["cat"] = (await cat.wait()).stdout
            ticks = await commands.run(
                "for n in 1 2 3 4 5 6; do echo $n; sleep 0.1; done", background=True
            )
            while not ticks.stdout.endswith("3\\n"):
                await asyncio.sleep(0.01)
            await ticks.disconnect()
            had = ticks.stdout + (await (await commands.connect(ticks.pid)).wait()).stdout
            said["ticks"] = had
            large = await commands.run(
                "head -c 11000000 /dev/urandom | base64 | tee /tmp/l; sha256sum /tmp/l >&2"
            )
            digest = hashlib.sha256(large.stdout.encode()).hexdigest()
            said["large"] = digest == large.stderr.split()[0]
            sleep = await commands.run("sleep 60", background=True)
            said["killed"] = [await sleep.kill(), await commands.kill(sleep.pid)]
            try:
                await sleep.wait()
            except CommandExitException:
                pass
            pty = await sandbox.pty.create(PtySize(cols=91, rows=33), on_data=lambda data: None)
            await sandbox.pty.resize(pty.pid, PtySize(cols=70, rows=20))
            await sandbox.pty.send_stdin(pty.pid, b"exit 4\\n")
            try:
                await pty.wait()
            except CommandExitException as error:
                said["pty"] = error.exit_code
            print(json.dumps(said))

        asyncio.run(main())
    """
    assert run_python(e2b_gateway, program).said == {
        "twenty": True,
        "listed": True,
        "cat": "one,two,done\n",
        "ticks": "1\n2\n3\n4\n5\n6\n",
        "large": True,
        "killed": [True, False],
        "pty": 4,
    }


def test_every_method_for_processes_in_javascript(
    e2b_gateway: GatewayProcess, e2b_sandbox: dict[str, str]
) -> None:
    """Its library sends the length of what it streams, and hangs up in its own way."""
    program = f"""
        import {{ Sandbox }} from 'e2b'
        const sandbox = await Sandbox.connect('{e2b_sandbox["sandboxID"]}')
        const commands = sandbox.commands, said = {{}}
        const run = await commands.run('echo hi $A; echo err >&2', {{envs: {{A: 'there'}}}})
        said.run = [run.stdout, run.stderr, run.exitCode]
        try {{ await commands.run('exit 3') }} catch (error) {{ said.exit = error.exitCode }}
        try {{ await commands.run('sleep 60', {{timeoutMs: 500}}) }}
        catch (error) {{ said.late = error.name }}
        try {{ await commands.run('true', {{cwd: '/no/such/place'}}) }}
        catch (error) {{ said.cwd = error.name }}
        const cat = await commands.run('cat; echo done', {{background: true, stdin: true}})
        await commands.sendStdin(cat.pid, 'one,')
        said.listed = (await commands.list()).some(one => one.pid === cat.pid)
        await commands.closeStdin(cat.pid)
        said.cat = (await cat.wait()).stdout
        let had = ''
        const ticks = await commands.run(
            'for n in 1 2 3 4 5 6; do echo $n; sleep 0.1; done',
            {{background: true, onStdout: text => {{ had += text }}}})
        while (!had.endsWith('3\\n')) await new Promise(done => setTimeout(done, 10))
        await ticks.disconnect()
        said.ticks = had + (await (await commands.connect(ticks.pid)).wait()).stdout
        const sleep = await commands.run('sleep 60', {{background: true}})
        said.killed = [await sleep.kill(), await commands.kill(sleep.pid)]
        let shown = ''
        const pty = await sandbox.pty.create({{cols: 91, rows: 33,
            onData: data => {{ shown += new TextDecoder().decode(data) }}}})
        await sandbox.pty.resize(pty.pid, {{cols: 70, rows: 20}})
        await sandbox.pty.sendInput(pty.pid, new TextEncoder().encode('stty size; exit 0\\n'))
        said.pty = [(await pty.wait()).exitCode, shown.includes('20 70')]
        console.log(JSON.stringify(said))
    """
    assert run_node(e2b_gateway, program).said == {
        "run": ["hi there\n", "err\n", 0],
        "exit": 3,
        "late": "TimeoutError",
        "cwd": "InvalidArgumentError",
        "listed": True,
        "cat": "one,done\n",
        "ticks": "1\n2\n3\n4\n5\n6\n",
        "killed": [True, False],
        "pty": [0, True],
    }


@pytest.mark.parametrize(("pause", "count"), [("; sleep 0.2", 30), ("", 300_000)])
def test_a_client_that_was_killed_loses_no_byte(
    e2b_gateway: GatewayProcess,
    e2b_sandbox: dict[str, str],
    tmp_path: Path,
    pause: str,
    count: int,
) -> None:
    """Whoever connects goes on no later than where it was: in a flood perhaps earlier."""
    heard = tmp_path / "heard"
    program = f"""
        import sys
        from e2b import Sandbox

        sandbox = Sandbox.connect({e2b_sandbox["sandboxID"]!r})
        text = "for n in $(seq {count}); do echo $n{pause}; done"
        handle = sandbox.commands.run(text, background=True, timeout=0)
        print(handle.pid, flush=True)
        with open({str(heard)!r}, "wb", 0) as file:
            handle.wait(on_stdout=lambda text: file.write(text.encode()))
    """
    command = [str(SDKS / NEWEST / "bin" / "python"), "-c", textwrap.dedent(program)]
    first = subprocess.Popen(command, env=environment(e2b_gateway), stdout=subprocess.PIPE)
    assert first.stdout is not None
    pid = int(first.stdout.readline())
    eventually(lambda: heard.exists() and heard.stat().st_size > 10, within_s=30)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    had = heard.read_text()
    rest: Any = run_python(
        e2b_gateway,
        f"""
        import json
        from e2b import Sandbox

        sandbox = Sandbox.connect({e2b_sandbox["sandboxID"]!r})
        print(json.dumps(sandbox.commands.connect({pid}, timeout=0).wait().stdout))
        """,
    ).said
    whole = "".join(f"{n}\n" for n in range(1, count + 1))

    assert whole.startswith(had)
    assert whole.endswith(rest)
    assert len(had) + len(rest) >= len(whole)
    if pause:  # it was killed while it waited, and had looked at everything
        assert had + rest == whole
