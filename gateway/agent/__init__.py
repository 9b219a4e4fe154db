"""The program that runs inside a sandbox, as the sandbox user, and runs its commands.

It is sent in as source text (see `gateway.link.bundle`), so nothing has to be in the image but
Python 3.7 or newer. It imports only the standard library and its own modules. One module is
shared with the gateway: `frames`, the format of what passes between them.

    entry.py    first thing to run: become the daemon or find it, hand over stdin and stdout
    daemon.py   the event loop: links, commands, child processes
    link.py     one connection to a gateway: frames in, frames out, whose turn it is
    command.py  one command: its process, its pipes, its end
    output.py   what a command wrote, kept within bounds
    reader.py   one channel that reads a command's output by offset, within its credit
    frames.py   the wire format
"""
