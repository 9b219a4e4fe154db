"""Servers in sandboxes, as clients reach them: by path, and by a host of their own.

What a server answers is the sandbox's: it is passed on as it is, but for what would let it act in
the gateway's name. Errors of the gateway's own are problem documents, as everywhere.
"""

from gateway.middleware.surfaces import WITHOUT_LIMIT, Surface

PORTS = Surface("ports", max_body_bytes=WITHOUT_LIMIT)
"""What a server answers is written below this and gets none of the headers; errors get them."""
