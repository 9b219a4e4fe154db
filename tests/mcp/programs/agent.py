"""A task of twenty steps and more, as an agent does it, without a model: what each answer says
decides the next call. The third argument is how many seconds its longest command takes.

Run by the python of an environment that has the SDK for Python, 2.x.
"""

import asyncio
import json
import sys
import time

import httpx2
import task
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

LONGEST_S = float(sys.argv[3])
BUDGET = 20_000


async def main():
    async with (
        httpx2.AsyncClient(headers=task.HEADERS, timeout=90) as http,
        Client(streamable_http_client(task.URL, http_client=http)) as client,
    ):
        seen = {"calls": 0, "longest": 0, "slowest_s": 0.0}

        async def answered(name, **arguments):
            begun = time.monotonic()
            answer = await client.call_tool(name, arguments)
            seen["calls"] += 1
            seen["slowest_s"] = max(seen["slowest_s"], round(time.monotonic() - begun, 1))
            size = len(answer.content[0].text)
            if answer.structured_content is not None:
                written = json.dumps(answer.structured_content, ensure_ascii=False)
                size = max(size, len(written))
            seen["longest"] = max(seen["longest"], size)
            assert size <= BUDGET, (name, size)
            return answer

        async def call(name, **arguments):
            answer = await answered(name, **arguments)
            assert not answer.is_error, answer.content[0].text
            return answer.structured_content

        async def work():
            lost = await answered("run_command", sandbox_id="my-sandbox", command="true")
            assert lost.is_error
            it = {"sandbox_id": (await call("create_sandbox"))["sandbox_id"]}
            await call("write_file", path="src/a.py", content="print('one')\nprint('two')\n", **it)
            unsure = await answered("edit_file", path="src/a.py", old="print", new="say", **it)
            assert unsure.is_error
            await call("edit_file", path="src/a.py", old="'two'", new="'2'", **it)
            ran = await call("run_command", command="python3 src/a.py", **it)
            assert ran["stdout"] == "one\n2\n", ran
            kept = (await call("snapshot", **it))["snapshot_id"]
            await call("run_command", command="rm -rf src", **it)
            assert (await call("list_files", path=".", **it))["entries"] is not None
            assert (await answered("read_file", path="src/a.py", **it)).is_error
            await call("restore", snapshot=kept, **it)
            assert "2" in (await call("read_file", path="src/a.py", offset=2, **it))["content"]

            command = f"sleep {LONGEST_S}; echo done; exit 5"
            long = await call("run_command", command=command, wait=1, **it)
            assert long["status"] == "running"
            much = await call("run_command", command="seq 7000000; echo the end", **it)
            assert much["truncated"]
            assert much["stdout"].endswith("the end\n")
            on = await call(
                "read_output", request_id=much["request_id"], offset=much["next_offset"], **it
            )
            assert on["stdout"]

            talk = await call(
                "run_command", command="read a; echo got $a", interactive=True, wait=0, **it
            )
            await call("write_stdin", request_id=talk["request_id"], data="it\n", **it)
            heard = await call("read_output", request_id=talk["request_id"], **it)
            assert heard["stdout"] == "got it\n", heard
            await call("run_command", command="cd /tmp", session="s", **it)
            assert (await call("run_command", command="pwd", session="s", **it))[
                "stdout"
            ] == "/tmp\n"
            served = await call(
                "run_command", command="exec python3 -m http.server 8000", wait=0.5, **it
            )
            assert (await call("port_url", port=8000, **it))["url"]
            await call("stop_command", request_id=served["request_id"], signal="KILL", **it)
            copy = (await call("fork", **it))["sandbox_id"]
            await call("delete_sandbox", sandbox_id=copy)

            offset = 0
            while long["status"] == "running":
                long = await call("read_output", request_id=long["request_id"], offset=offset, **it)
                offset = long["next_offset"]
            assert (long["returncode"], long["stdout"]) == (5, "done\n"), long
            assert (await call("list_sandboxes"))["sandboxes"]
            await call("delete_sandbox", **it)

        await work()
        print(json.dumps(seen))


asyncio.run(main())
