"""The rules of running commands. No Flask, no docker SDK, no SQL text.

service.py    run one command in a sandbox, by whichever way the sandbox offers
linked.py     over the link to its agent
plain.py      over one docker exec per command, for images without python3
budget.py     how many bytes of output this process holds at once
result.py     from bytes to the result that clients get
telling.py    what happens to a command, as the messages that clients get
slices.py     a part of what a command wrote, as raw bytes
occupancy.py  what runs in a sandbox while no client is there
"""
