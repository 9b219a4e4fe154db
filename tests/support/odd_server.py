"""Answers as no framework would, inside a sandbox: python3 odd_server.py PORT [HOST].

Standard library only; each path is one way to answer.
"""

import base64
import hashlib
import json
import socket
import sys
import threading
import time

accepted = 0
closed = 0


class Request:
    """One request, as it came."""

    def __init__(self, file):
        self.file = file
        self.line = file.readline().decode("latin-1").rstrip("\r\n")
        self.fields = self._read_fields()
        self.trailers = []

    def _read_fields(self):
        found = []
        while True:
            line = self.file.readline().decode("latin-1").rstrip("\r\n")
            if not line:
                return found
            name, _, value = line.partition(":")
            found.append((name, value.strip()))

    def field(self, name):
        return next((value for one, value in self.fields if one.lower() == name), None)

    @property
    def path(self):
        return self.line.split(" ")[1].partition("?")[0]

    def pieces(self):
        """The body as it comes."""
        if (self.field("transfer-encoding") or "").lower() == "chunked":
            while True:
                size = int(self.file.readline().strip() or b"0", 16)
                if not size:
                    self.trailers = self._read_fields()
                    return
                yield self.file.read(size)
                self.file.readline()
        left = int(self.field("content-length") or 0)
        while left:
            piece = self.file.read1(min(left, 65536))
            if not piece:
                return
            left -= len(piece)
            yield piece


def echo(request, out):
    digest, size = hashlib.sha256(), 0
    for piece in request.pieces():
        digest.update(piece)
        size += len(piece)
    told = {
        "line": request.line,
        "fields": request.fields,
        "trailers": request.trailers,
        "size": size,
        "sha256": digest.hexdigest(),
    }
    plain(out, json.dumps(told).encode(), "application/json")


def plain(out, body, kind="text/plain", extra=""):
    out(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % kind.encode())
    out(b"%bContent-Length: %d\r\n\r\n" % (extra.encode(), len(body)) + body)


def head(out, text):
    out(text.replace("\n", "\r\n").encode() + b"\r\n\r\n")


def chunked(request, out):
    head(out, "HTTP/1.1 200 Fine\nTransfer-Encoding: chunked\nTrailer: X-Sum")
    for word in (b"one ", b"two ", b"three"):
        out(b"%x\r\n%b\r\n" % (len(word), word))
        time.sleep(0.05)
    out(b"0\r\nX-Sum: 13\r\n\r\n")


def events(request, out):
    head(out, "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked")
    for number in range(10**6):
        event = b"data: %d\n\n" % number
        out(b"%x\r\n%b\r\n" % (len(event), event))
        time.sleep(0.1)


def stream_echo(request, out):
    """Each piece comes back before the next one is asked for."""
    head(out, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked")
    for piece in request.pieces():
        out(b"%x\r\n%b\r\n" % (len(piece), piece))
    out(b"0\r\n\r\n")


def big(request, out):
    size = int(request.line.split(" ")[1].partition("?")[2])
    head(out, f"HTTP/1.1 200 OK\nContent-Length: {size}")
    block = bytes(range(256)) * 1024
    while size:
        out(block[:size])
        size -= min(size, len(block))


def ranged(request, out):
    """A file of 100,000 bytes, or one part of it (RFC 9110, section 14)."""
    content = bytes(range(256)) * 391
    asked = request.field("range")
    if asked is None or request.field("if-range") not in (None, '"1"'):
        plain(out, content, extra='Accept-Ranges: bytes\r\nETag: "1"\r\n')
        return
    first, _, last = asked.removeprefix("bytes=").partition("-")
    begin = int(first) if first else len(content) - int(last)
    end = min(int(last) + 1, len(content)) if first and last else len(content)
    if begin >= len(content):
        head(out, f"HTTP/1.1 416 No\nContent-Range: bytes */{len(content)}\nContent-Length: 0")
        return
    told = f"bytes {begin}-{end - 1}/{len(content)}"
    head(out, f"HTTP/1.1 206 Part\nContent-Range: {told}\nContent-Length: {end - begin}")
    out(content[begin:end])


def interim(request, out):
    head(out, "HTTP/1.1 103 Early Hints\nLink: </a.css>; rel=preload")
    plain(out, b"late")


def wait_for_body(request, out):
    time.sleep(0.1)
    head(out, "HTTP/1.1 100 Continue")
    echo(request, out)


def cookies(request, out):
    plain(
        out,
        b"<p>cookies</p>",
        "text/html",
        "Set-Cookie: a=1; Domain=localhost; Path=/\r\nSet-Cookie: b=2\r\n"
        "Clear-Site-Data: *\r\nService-Worker-Allowed: /\r\nX-Own: yes\r\n"
        "Strict-Transport-Security: max-age=1\r\nConnection: x-own\r\nKeep-Alive: 5\r\n",
    )


def lines_of(text):
    return lambda request, out: head(out, text)


def websocket(request, out):
    """Sends back what it gets, in one frame each; frames of up to 125 bytes."""
    key = request.field("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    offered = request.field("sec-websocket-protocol")
    told = f"\nX-Offered: {offered}\nX-Authorization: {request.field('authorization')}"
    if offered:
        told += "\nSec-WebSocket-Protocol: " + offered.split(",")[0].strip()
    head(
        out,
        "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n"
        "Sec-WebSocket-Accept: " + accept + told,
    )
    while True:
        start = request.file.read(2)
        if len(start) < 2:
            return
        size = start[1] & 0x7F
        mask = request.file.read(4)
        data = bytes(b ^ mask[n % 4] for n, b in enumerate(request.file.read(size)))
        if start[0] & 0x0F == 8:
            global closed
            closed += 1
        out(bytes((start[0], len(data))) + data)
        if start[0] & 0x0F == 8:
            return


PATHS = {
    "/chunked": chunked,
    "/events": events,
    "/stream-echo": stream_echo,
    "/big": big,
    "/ranged": ranged,
    "/interim": interim,
    "/wait-for-body": wait_for_body,
    "/cookies": cookies,
    "/ws": websocket,
    "/connections": lambda request, out: plain(out, b"%d" % accepted),
    "/closed": lambda request, out: plain(out, b"%d" % closed),
    "/slow": lambda request, out: (time.sleep(3), plain(out, b"slow")),
    "/large-head": lines_of("HTTP/1.1 200 OK\nX-Large: " + "x" * 100000 + "\nContent-Length: 0"),
    "/redirect": lines_of("HTTP/1.1 302 Found\nLocation: /there?x=1\nContent-Length: 0"),
    "/nothing": lines_of("HTTP/1.1 204 No Content"),
    "/not-modified": lines_of('HTTP/1.1 304 Not Modified\nETag: "1"\nContent-Length: 5'),
    "/until-close": lines_of("HTTP/1.0 200 OK\n\nto the end"),
    "/truncated": lines_of("HTTP/1.1 200 OK\nContent-Length: 100\n\nten bytes"),
    "/two-lengths": lines_of("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\nhello"),
    "/two-framings": lines_of(
        "HTTP/1.1 200 OK\nContent-Length: 3\nTransfer-Encoding: chunked\n\n2\nok\n0\n"
    ),
    "/odd-coding": lines_of("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n0\n"),
    "/no-http": lines_of("SSH-2.0-OpenSSH_9.2"),
    "/unasked-switch": lines_of(
        "HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: Upgrade"
    ),
    "/split": lines_of("HTTP/1.1 200 OK\nX-A: b\rX-B: c\nContent-Length: 0"),
    "/refuse-early": lines_of("HTTP/1.1 413 Too Large\nContent-Length: 0\nConnection: close"),
}
AND_CLOSE = {
    *("/until-close", "/truncated", "/refuse-early", "/no-http", "/ws", "/two-lengths"),
    *("/two-framings", "/unasked-switch"),
}


def serve(connection):
    with connection, connection.makefile("rb") as file:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            request = Request(file)
            if not request.line:
                return
            if request.path == "/hang-up":
                return
            PATHS.get(request.path, echo)(request, connection.sendall)
            if request.path in AND_CLOSE or request.field("connection") == "close":
                return


def main():
    global accepted
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    # The first address is taken, as Node.js does.
    first = socket.getaddrinfo(host, int(sys.argv[1]), type=socket.SOCK_STREAM)[0]
    listener = socket.socket(first[0])
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(first[4])
    listener.listen(64)
    while True:
        connection, _ = listener.accept()
        accepted += 1
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
