"""What listens in a sandbox: as its agent says or, ports alone, as the host's kernel does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.agent.ports.listening import MOST, listeners
from gateway.errors import ProtocolBroken
from gateway.link.ask import ask
from gateway.link.exited import writable
from gateway.link.incoming import is_count
from gateway.link.link import Link

PORTS = 65536
LARGEST_PID = 2**31
LONGEST_TEXT = 1024


@dataclass(frozen=True)
class ListeningProcess:
    """Whoever listens. All of it is the sandbox's word."""

    pid: int
    name: str
    command: str


@dataclass(frozen=True)
class ListeningPort:
    """A TCP port, and the addresses that it is open on. `process` is None where it is not known."""

    port: int
    addresses: tuple[str, ...]
    process: ListeningProcess | None


def ports_by_agent(link: Link) -> list[ListeningPort]:
    """What the agent of a sandbox tells, by port. Raises what `ask` does, and ProtocolBroken."""
    told = ask(link, "listening").get("ports")
    if not isinstance(told, list) or len(told) > MOST:
        raise ProtocolBroken("the agent's list of ports is broken")
    return sorted((_port(entry) for entry in told), key=lambda entry: entry.port)


def ports_by_kernel(pid: int) -> list[int]:
    """The ports that are open in the network of a process of this host. Empty when it has gone."""
    return sorted({port for port, _address, _inode in listeners(f"/proc/{pid}/net")})


def _port(entry: Any) -> ListeningPort:
    if not isinstance(entry, dict):
        raise ProtocolBroken("the agent's list of ports is broken")
    port, addresses, process = (entry.get(name) for name in ("port", "addresses", "process"))
    if not is_count(port, PORTS) or not isinstance(addresses, list):
        raise ProtocolBroken("the agent's list of ports is broken")
    return ListeningPort(port, tuple(_text(one) for one in addresses[:16]), _process(process))


def _process(told: Any) -> ListeningProcess | None:
    if not isinstance(told, dict) or not is_count(told.get("pid"), LARGEST_PID):
        return None
    return ListeningProcess(told["pid"], _text(told.get("name")), _text(told.get("command")))


def _text(told: Any) -> str:
    return writable(told[:LONGEST_TEXT]) if isinstance(told, str) else ""
