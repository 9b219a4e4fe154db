"""Servers in sandboxes by path: HTTP/1.1 both ways, as it was sent and as it was answered."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from contextlib import ExitStack

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.plain_http import answer_of, exchange, opened
from tests.support.port_servers import by_path, open_ports, seen, start_odd_server, start_server
from tests.support.problems import check_problem, problem_of
from tests.support.scrape import Scrape


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
)
def test_any_method_reaches_the_server(gateway: GatewayProcess, odd: str, method: str) -> None:
    """Applications use more than the gateway's own API does."""
    answer = gateway.request(method, by_path(odd, "some/where?a=1&b=%20"))

    assert answer.status_code == 200, answer.text
    if method == "HEAD":
        assert answer.content == b""
        assert int(answer.headers["Content-Length"]) > 0
    else:
        assert answer.json()["line"] == f"{method} /some/where?a=1&b=%20 HTTP/1.1"


@pytest.mark.parametrize(
    "rest",
    ["a%2Fb", "%0A%00", "a//b", "//evil", "..%2f..%2f", "ä".encode().hex(), "x?y=/ports/1/token"],
)
def test_an_address_arrives_as_it_was_sent(gateway: GatewayProcess, odd: str, rest: str) -> None:
    """What is decoded and encoded again on the way is another address for the server."""
    sent = f"GET {by_path(odd, rest)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    answer = answer_of(exchange(gateway, sent.encode()))

    assert answer.status == 200
    assert json.loads(answer.body)["line"] == f"GET /{rest} HTTP/1.1"


def test_a_body_of_known_size_arrives_whole(gateway: GatewayProcess, odd: str) -> None:
    data = bytes(range(256)) * 40_000

    told = gateway.post(by_path(odd), data=data).json()

    assert (told["size"], told["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert ["Content-Length", str(len(data))] in told["fields"]


def test_a_chunked_body_and_its_trailers_arrive(gateway: GatewayProcess, odd: str) -> None:
    """The size is not known beforehand; what is said after the body is part of the request. But
    not what would be a credential or an address of a proxy as a header."""
    told = json.loads(
        answer_of(
            exchange(
                gateway,
                f"POST {by_path(odd)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n"
                "X-Sum: 6\r\nX-Forwarded-For: 1.2.3.4\r\nCookie: a\r\n\r\n".encode(),
            )
        ).body
    )

    assert told["size"] == 6
    assert told["trailers"] == [["X-Sum", "6"]]
    assert ["Transfer-Encoding", "chunked"] in told["fields"]


def test_both_directions_stream(gateway: GatewayProcess, odd: str) -> None:
    """Each piece comes back before the next one is sent: nothing on the way waits for more."""
    with opened(gateway) as client:
        client.sendall(
            f"POST {by_path(odd, 'stream-echo')} HTTP/1.1\r\nHost: localhost\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        received = b""
        for number in range(5):
            word = b"piece-%d" % number
            client.sendall(b"%x\r\n%b\r\n" % (len(word), word))
            while word not in received:
                piece = client.recv(65536)
                assert piece, received
                received += piece
        client.sendall(b"0\r\n\r\n")
        while not received.endswith(b"0\r\n\r\n"):
            received += client.recv(65536)


def test_a_chunked_answer_comes_as_it_is_written_with_its_trailers(
    gateway: GatewayProcess, odd: str
) -> None:
    received = exchange(
        gateway,
        f"GET {by_path(odd, 'chunked')} HTTP/1.1\r\nHost: localhost\r\n"
        "Connection: close\r\n\r\n".encode(),
    )

    answer = answer_of(received)
    assert received.startswith(b"HTTP/1.1 200 Fine\r\n")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.body.endswith(b"0\r\nX-Sum: 13\r\n\r\n")
    assert b"one " in answer.body


def test_a_client_of_http_1_0_gets_no_chunks(gateway: GatewayProcess, odd: str) -> None:
    sent = f"GET {by_path(odd, 'chunked')} HTTP/1.0\r\nHost: localhost\r\n\r\n"

    answer = answer_of(exchange(gateway, sent.encode()))

    assert "transfer-encoding" not in answer.headers
    assert answer.body == b"one two three"


def test_events_come_one_by_one_and_end_with_the_client(gateway: GatewayProcess, odd: str) -> None:
    """Server-sent events are an answer without an end."""
    with requests.get(gateway.url + by_path(odd, "events"), stream=True, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        begun, lines = time.monotonic(), answer.iter_lines()
        assert [next(lines) for _ in range(5)] == [b"data: 0", b"", b"data: 1", b"", b"data: 2"]
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("size", [1, 65_536, 20_000_000])
def test_an_answer_of_known_size_arrives_whole(
    gateway: GatewayProcess, odd: str, size: int
) -> None:
    answer = gateway.get(by_path(odd, f"big?{size}"))

    wanted = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert answer.headers["Content-Length"] == str(size)
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(wanted).digest()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("nothing", 204, b""),
        ("not-modified", 304, b""),
        ("until-close", 200, b"to the end\r\n\r\n"),
        ("two-framings", 200, b"ok"),
    ],
)
def test_odd_answers_are_understood(
    gateway: GatewayProcess, odd: str, path: str, status: int, body: bytes
) -> None:
    """No body, one to the end of the connection, both framings (chunks count, RFC 9112, section
    6.3)."""
    answer = gateway.get(by_path(odd, path))

    assert (answer.status_code, answer.content) == (status, body)


def test_an_interim_answer_is_passed_on(gateway: GatewayProcess, odd: str) -> None:
    received = exchange(
        gateway,
        f"GET {by_path(odd, 'interim')} HTTP/1.1\r\nHost: localhost\r\n"
        "Connection: close\r\n\r\n".encode(),
    )

    assert received.startswith(b"HTTP/1.1 103 Early Hints\r\n")
    assert b"rel=preload" in received
    assert received.endswith(b"late")


@pytest.mark.parametrize(
    "path",
    ["two-lengths", "odd-coding", "no-http", "hang-up", "large-head", "unasked-switch", "split"],
)
def test_what_is_no_http_is_a_bad_gateway(gateway: GatewayProcess, odd: str, path: str) -> None:
    """Two lengths that contradict each other are the beginning of a smuggled answer: nothing of it
    is passed on."""
    problem = problem_of(gateway.get(by_path(odd, path)), 502)

    assert problem["code"] == "port_failed"


def test_an_answer_that_breaks_off_is_seen_to(gateway: GatewayProcess, odd: str) -> None:
    """A part of a file must not look like all of it."""
    with pytest.raises(requests.exceptions.RequestException):
        gateway.get(by_path(odd, "truncated"))


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \x0bchunked",
    ],
)
def test_a_request_of_two_lengths_reaches_no_server(
    gateway: GatewayProcess, odd: str, framing: str
) -> None:
    """Request smuggling: whoever disagrees about where a request ends takes its body for another
    one, with somebody else's credentials."""
    before = int(gateway.get(by_path(odd, "connections")).text)
    sent = (
        f"POST {by_path(odd)} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n"
        f"0\r\n\r\nGET {by_path(odd, 'smuggled')} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )

    received = exchange(gateway, sent.encode("latin-1"))

    answer = answer_of(received)
    assert answer.status in (400, 501)
    check_problem(answer.headers["content-type"], answer.body, answer.status)
    assert b"smuggled" not in received
    assert int(gateway.get(by_path(odd, "connections")).text) <= before + 1


def test_fields_of_the_hop_are_not_passed_on(gateway: GatewayProcess, odd: str) -> None:
    """RFC 9110, section 7.6.1, both ways, and what Connection names."""
    told = seen(
        gateway.get(
            by_path(odd),
            headers={
                "Connection": "close, X-Mine",
                "X-Mine": "1",
                "Keep-Alive": "5",
                "TE": "trailers",
                "Proxy-Authorization": "x",
                "X-Other": "2",
            },
        )
    )
    answer = gateway.get(by_path(odd, "cookies"))

    assert told["x-other"] == "2"
    assert not {"x-mine", "keep-alive", "te", "proxy-authorization", "connection"} & set(told)
    assert "X-Own" not in answer.headers
    assert "Keep-Alive" not in answer.headers


def test_forged_forwarding_is_replaced(gateway: GatewayProcess, odd: str) -> None:
    """A server that trusts its proxy must hear of the real client."""
    forged = {
        "X-Forwarded-For": "9.9.9.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-User": "root",
        "Forwarded": "for=9.9.9.9",
        "X-Real-IP": "9.9.9.9",
    }

    told = seen(gateway.get(by_path(odd), headers=forged))

    assert told["x-forwarded-for"] == "127.0.0.1"
    assert told["x-forwarded-host"] == f"127.0.0.1:{gateway.port}" == told["host"]
    assert told["x-forwarded-proto"] == "http"
    assert told["x-forwarded-prefix"] == by_path(odd).rstrip("/")
    assert not {"x-forwarded-user", "forwarded", "x-real-ip"} & set(told)


def test_credentials_stay_with_the_gateway(gateway: GatewayProcess, odd: str) -> None:
    """By path all of them are the gateway's: code in a sandbox must never get a key."""
    told = seen(
        gateway.get(
            by_path(odd),
            headers={"Authorization": "Bearer x", "X-API-Key": "y", "Cookie": "z=1", "X-Mine": "1"},
        )
    )

    assert not {"authorization", "x-api-key", "cookie"} & set(told)
    assert told["x-mine"] == "1"


def test_answers_are_of_no_origin(gateway: GatewayProcess, odd: str) -> None:
    """By path a page has the gateway's address: what would hold for the gateway is dropped, and the
    page is put into a sandbox by the browser."""
    answer = gateway.get(by_path(odd, "cookies"))

    assert answer.text == "<p>cookies</p>"
    assert answer.headers["Content-Security-Policy"] == "sandbox allow-scripts allow-forms"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    dropped = {
        "Set-Cookie",
        "Clear-Site-Data",
        "Service-Worker-Allowed",
        "Strict-Transport-Security",
    }
    assert not dropped & set(answer.headers)
    assert answer.headers["Content-Type"] == "text/html"


def test_redirects_lead_below_the_path(gateway: GatewayProcess, odd: str) -> None:
    """The server knows nothing of the path that it is reached by."""
    answer = gateway.get(by_path(odd, "redirect"))

    assert (answer.status_code, answer.headers["Location"]) == (302, by_path(odd, "there?x=1"))


def test_the_last_slash_is_added(gateway: GatewayProcess, odd: str) -> None:
    """Relative links of a page would lead to another port without it."""
    answer = gateway.get(by_path(odd).rstrip("/") + "?a=1")

    assert (answer.status_code, answer.headers["Location"]) == (308, by_path(odd, "?a=1"))


@pytest.mark.parametrize("port", ["0", "65536", "99999999999", "abc", "-1", "08a"])
def test_what_is_no_port_is_refused(gateway: GatewayProcess, odd: str, port: str) -> None:
    problem = problem_of(gateway.get(f"/sandboxes/{odd}/ports/{port}/"), 422)

    assert problem["code"] == "invalid_fields"


@pytest.mark.parametrize("sandbox_id", ["0" * 32, "nobody", "..", "a%2Fb"])
def test_an_unknown_sandbox_is_not_found(gateway: GatewayProcess, sandbox_id: str) -> None:
    assert gateway.get(f"/sandboxes/{sandbox_id}/ports/8000/").status_code == 404


def test_connections_are_kept_and_used_again(gateway: GatewayProcess, odd: str) -> None:
    """A page is dozens of requests: each with a connection of its own costs both sides."""
    before = int(gateway.get(by_path(odd, "connections")).text)
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(20):
            assert session.get(gateway.url + by_path(odd), timeout=10).status_code == 200
        after = int(session.get(gateway.url + by_path(odd, "connections"), timeout=10).text)

    assert after - before <= 2, "one in each worker"


def test_the_body_is_asked_for_when_the_server_wants_it(gateway: GatewayProcess, odd: str) -> None:
    """`Expect: 100-continue` saves an upload that would be refused."""
    with opened(gateway) as client:
        client.sendall(
            f"PUT {by_path(odd, 'wait-for-body')} HTTP/1.1\r\nHost: localhost\r\n"
            "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n".encode()
        )
        asked = client.recv(1000)
        assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        answer = answer_of(client.recv(65536))
        assert json.loads(answer.body)["size"] == 4


def test_a_body_that_is_refused_is_not_asked_for(gateway: GatewayProcess, odd: str) -> None:
    received = exchange(
        gateway,
        f"PUT {by_path(odd, 'refuse-early')} HTTP/1.1\r\nHost: localhost\r\n"
        "Expect: 100-continue\r\nContent-Length: 4000000\r\n\r\n".encode(),
    )

    assert received.startswith(b"HTTP/1.1 413 Too Large\r\n")
    assert answer_of(received).headers["connection"] == "close"


def test_an_upload_that_breaks_off_is_none(gateway: GatewayProcess, odd: str) -> None:
    """Half a body must not look like a whole one to the server: it sees the connection end."""
    with opened(gateway) as client:
        client.sendall(
            f"POST {by_path(odd, 'stream-echo')} HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Length: 1000\r\n\r\nhalf".encode()
        )
        received = client.recv(65536)
        client.shutdown(socket.SHUT_WR)
        while piece := client.recv(65536):
            received += piece

    assert b"half" in received or received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n"), "an end that the server never wrote"


def test_many_at_once(gateway: GatewayProcess, odd: str) -> None:
    """A page opens several connections, and one slow answer holds up none of the others."""
    clients = [socket.create_connection(("127.0.0.1", gateway.port), timeout=10) for _ in range(30)]
    slow, *others = clients
    try:
        for path, client in zip(["slow", *["x"] * 29], clients, strict=True):
            client.sendall(f"GET {by_path(odd, path)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        begun = time.monotonic()
        assert all(client.recv(100).startswith(b"HTTP/1.1 200") for client in others)
        assert time.monotonic() - begun < 2.5
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        for client in clients:
            client.close()


def test_a_closed_port_says_what_is_open(gateway: GatewayProcess, odd: str) -> None:
    """Most often the server listens elsewhere, or not yet."""
    problem = problem_of(gateway.get(by_path(odd, port=9)), 502)

    assert problem["code"] == "port_closed"
    assert problem["listening"] == [8000]


def test_what_listens_is_told_with_its_process(gateway: GatewayProcess, odd: str) -> None:
    found = open_ports(gateway, odd)

    assert set(found) == {8000}
    assert found[8000]["addresses"] == ["127.0.0.1"]
    process = found[8000]["process"]
    assert process["name"] == "python3"
    assert process["command"] == "python3 odd_server.py 8000 127.0.0.1"
    assert process["pid"] > 1


def test_a_port_of_one_sandbox_is_none_of_another(gateway: GatewayProcess, odd: str) -> None:
    """Nor of the gateway itself: each sandbox has a localhost of its own."""
    other = gateway.create()
    try:
        assert problem_of(gateway.get(by_path(other)), 502)["listening"] == []
        problem = problem_of(gateway.get(by_path(other, port=gateway.port)), 502)
        assert problem["code"] == "port_closed"
    finally:
        gateway.delete(f"/sandboxes/{other}")


def test_traffic_is_measured(gateway: GatewayProcess, odd: str) -> None:
    """What operators size a gateway by: how many at a time, how many in all, and bytes."""
    before = Scrape(gateway)
    with gateway.get(by_path(odd, "events"), stream=True) as endless:
        assert next(endless.iter_lines()) == b"data: 0"
        gateway.post(by_path(odd), data=bytes(300_000))
        gateway.get(by_path(odd, "big?1000000"))
        problem_of(gateway.get(by_path(odd, port=9)), 502)
        during = Scrape(gateway)

    def grown(name: str, **labels: str) -> float:
        return during(name, **labels) - before(name, **labels)

    assert grown("port_exchanges") == 1
    assert grown("port_requests_total", outcome="answered") == 3
    assert grown("port_requests_total", outcome="failed") == 1
    assert grown("port_bytes_total", direction="from_client") == 300_000
    assert 1_000_000 < grown("port_bytes_total", direction="to_client") < 1_100_000
    eventually(lambda: Scrape(gateway)("port_exchanges") == before("port_exchanges"))


@pytest.mark.parametrize(
    ("address", "shown"), [("::", "::"), ("0.0.0.0", "0.0.0.0"), ("localhost", "127.0.0.1")]
)
def test_a_server_is_reached_wherever_it_listens(
    gateway: GatewayProcess, odd: str, address: str, shown: str
) -> None:
    """On all addresses, of both families. `localhost` is ::1 as well in /etc/hosts, which a sandbox
    does not have: so it must lead to 127.0.0.1."""
    start_odd_server(gateway, odd, port=8006, host=address)
    try:
        assert gateway.get(by_path(odd, "x", port=8006)).status_code == 200
        assert open_ports(gateway, odd)[8006]["addresses"] == [shown]
    finally:
        gateway.post(f"/sandboxes/{odd}/commands/server-8006/signal", json={"signal": "KILL"})
        eventually(lambda: 8006 not in open_ports(gateway, odd))


@pytest.mark.parametrize(
    ("asked", "status", "begin", "end"),
    [("bytes=0-9", 206, 0, 10), ("bytes=1000-", 206, 1000, 100_096), ("bytes=-5", 206, -5, None)],
)
def test_a_part_of_a_file_is_passed_on(
    gateway: GatewayProcess, odd: str, asked: str, status: int, begin: int, end: int | None
) -> None:
    """Videos and downloads that go on: whether a server knows parts is the server's matter."""
    answer = gateway.get(by_path(odd, "ranged"), headers={"Range": asked})

    assert answer.status_code == status
    assert answer.content == (bytes(range(256)) * 391)[begin:end]
    assert answer.headers["Content-Range"].endswith("/100096")
    too_far = gateway.get(by_path(odd, "ranged"), headers={"Range": "bytes=200000-"})
    assert (too_far.status_code, too_far.headers["Content-Range"]) == (416, "bytes */100096")
    other = {"Range": asked, "If-Range": '"2"'}
    assert gateway.get(by_path(odd, "ranged"), headers=other).status_code == 200


def test_a_server_that_knows_no_parts_answers_with_the_whole(
    gateway: GatewayProcess, odd: str
) -> None:
    """`python3 -m http.server` is one. The gateway does not cut a part out: it would have to read
    all of it, and an answer need not be the same the next time."""
    gateway.request("PUT", f"/sandboxes/{odd}/files?path=www/file", data=bytes(5000))
    start_server(gateway, odd, "exec python3 -m http.server -d www 8007", 8007)
    answer = gateway.get(by_path(odd, "file", port=8007), headers={"Range": "bytes=0-9"})

    assert (answer.status_code, len(answer.content)) == (200, 5000)
    assert "Content-Range" not in answer.headers
    gateway.post(f"/sandboxes/{odd}/commands/server-8007/signal", json={"signal": "KILL"})
    eventually(lambda: 8007 not in open_ports(gateway, odd))


def test_an_endless_answer_that_nobody_reads_costs_little(
    gateway: GatewayProcess, odd: str
) -> None:
    """The server is slowed down, not stored: workers stay as they are."""
    before = sum(worker.memory_info().rss for worker in gateway.workers())
    request = f"GET {by_path(odd, 'big?100000000000')} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as held:
        for _ in range(8):
            client = held.enter_context(opened(gateway))
            client.sendall(request.encode())
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        for _ in range(20):
            assert gateway.get(by_path(odd, "big?1000000")).status_code == 200
        assert sum(w.memory_info().rss for w in gateway.workers()) - before < 16 * 1024 * 1024
