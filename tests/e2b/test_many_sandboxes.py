"""Many sandboxes of one client at a time."""

from __future__ import annotations

import pytest

from tests.support.e2b_sdks import run_python
from tests.support.gateway_process import GatewayProcess


@pytest.mark.long
@pytest.mark.timeout(200)
def test_twenty_sandboxes_of_one_client_at_a_time(e2b_gateway: GatewayProcess) -> None:
    """Each is made, runs commands with input and a terminal, and is killed; none meets an error."""
    program = """
        import asyncio, json
        from e2b import AsyncSandbox, PtySize

        async def one(n):
            sandbox = await AsyncSandbox.create(timeout=300)
            try:
                run = await sandbox.commands.run(f"echo {n}; cat /etc/hostname | wc -l")
                cat = await sandbox.commands.run("cat", background=True, stdin=True)
                await sandbox.commands.send_stdin(cat.pid, f"in {n}")
                await sandbox.commands.close_stdin(cat.pid)
                pty = await sandbox.pty.create(PtySize(cols=80, rows=24), on_data=lambda _: None)
                await sandbox.pty.send_stdin(pty.pid, b"exit 0\\n")
                await pty.wait()
                return [run.stdout, (await cat.wait()).stdout]
            finally:
                await sandbox.kill()

        async def main():
            print(json.dumps(await asyncio.gather(*[one(n) for n in range(20)])))

        asyncio.run(main())
    """
    said = run_python(e2b_gateway, program, within_s=180).said
    assert said == [[f"{n}\n1\n", f"in {n}"] for n in range(20)]
