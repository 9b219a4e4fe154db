"""Pours bytes into a port over and over: `python -m tests.support.flooder`.

On standard input, a line each: the port, what each connection begins with and what is then
repeated (both as hexadecimal), and the number of connections. Ends with its standard input.
"""

from __future__ import annotations

import os
import socket
import sys
import threading


def _pour(port: int, head: bytes, piece: bytes) -> None:
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.settimeout(1)
                client.sendall(head)
                while True:
                    client.sendall(piece)
        except OSError:
            pass  # refused, as it should be: once more


def main() -> None:
    """Pour until nobody wants it any more."""
    port, head, piece, connections = (sys.stdin.readline().strip() for _ in range(4))
    for _ in range(int(connections)):
        arguments = (int(port), bytes.fromhex(head), bytes.fromhex(piece))
        threading.Thread(target=_pour, args=arguments, daemon=True).start()
    print("pouring", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
