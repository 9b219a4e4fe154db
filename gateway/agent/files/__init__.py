"""Files of the sandbox, served by a process of their own beside the agent (docs/protocol.md).

Whatever a disk does, the agent's loop goes on: here operations may block, and each has a thread.
`start` is part of the agent; the rest is sent when the first file is asked for.
"""
