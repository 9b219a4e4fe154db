"""Ports of sandboxes that have less than others: no writable root, no python3."""

from __future__ import annotations

from tests.support.bare_image import image_without
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.port_servers import ODD, by_path, open_ports, start_odd_server
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of

SERVER = (
    "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', "
    "LocalPort => 8000, Listen => 5, ReuseAddr => 1); while (my $c = $s->accept) "
    '{ while (<$c>) { last if /^\\r?$/ } print $c "HTTP/1.0 200 OK\\r\\n\\r\\nfrom perl"; '
    "close $c }"
)


def test_a_strict_sandbox_has_ports_too(gateway: GatewayProcess) -> None:
    """Its network has nothing but localhost."""
    sandbox_id = gateway.create(isolation="strict")
    try:
        start_odd_server(gateway, sandbox_id)
        assert set(open_ports(gateway, sandbox_id)) == {ODD}
        assert gateway.get(by_path(sandbox_id)).status_code == 200
    finally:
        gateway.delete(f"/sandboxes/{sandbox_id}")


def test_an_image_without_python_is_reached_where_no_agent_is_needed(own_gateway) -> None:
    """The gateway connects by itself; which process listens only an agent knows."""
    with image_without("python3") as image:
        gateway = own_gateway(workers="1", image=image).start_ready()
        sandbox_id = gateway.create()
        assert problem_of(gateway.get(by_path(sandbox_id)), 502)["listening"] == []
        put = f"cat > server.pl <<'PERL'\n{SERVER}\nPERL\n"
        start = "(setsid perl server.pl > /dev/null 2>&1 < /dev/null &)"
        assert result_of(gateway, sandbox_id, put + start)["success"]
        eventually(lambda: gateway.get(by_path(sandbox_id)).text == "from perl")
        missing = problem_of(gateway.get(f"/sandboxes/{sandbox_id}/ports"), 422)
        assert missing["code"] == "feature_missing"
        gateway.delete(f"/sandboxes/{sandbox_id}")
