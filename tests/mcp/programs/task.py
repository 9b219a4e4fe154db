"""What each client does: list, create, run, read, write, delete. It prints what it has seen.

Run by the python of an environment that has the client; URL and key are its arguments.
"""

import json
import sys

URL, KEY = sys.argv[1:3]
HEADERS = {"Authorization": f"Bearer {KEY}"}
COMMAND = "echo out; echo err >&2; exit 3"


async def work(tools, call, version):
    """`call` gives the structure of an answer, or its text where a client has none."""
    seen = {"tools": sorted(tools), "version": version}
    sandbox_id = (await call("create_sandbox", {}))["sandbox_id"]
    in_it = {"sandbox_id": sandbox_id}
    ran = await call("run_command", {**in_it, "command": COMMAND})
    seen["ran"] = [ran["returncode"], ran["stdout"], ran["stderr"]]
    await call("write_file", {**in_it, "path": "a", "content": "one\ntwo\n"})
    seen["read"] = (await call("read_file", {**in_it, "path": "a", "offset": 2}))["content"]
    listed = await call("list_sandboxes", {})
    seen["listed"] = sandbox_id in [one["sandbox_id"] for one in listed["sandboxes"]]
    seen["deleted"] = (await call("delete_sandbox", in_it))["sandbox_id"] == sandbox_id
    print(json.dumps(seen))
