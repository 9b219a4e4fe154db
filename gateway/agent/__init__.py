"""The program that runs inside a sandbox, as the sandbox user, and runs its commands.

It is sent in as source text (see `gateway.link.bundle`), so nothing has to be in the image but
Python 3.7 or newer. It imports only the standard library and its own modules. One module is
shared with the gateway: `frames`, the format of what passes between them.

Here belongs what happens to commands inside the sandbox. What is done with them on the gateway's
side belongs into `gateway.commands`, how it gets there into `gateway.link`.
"""
