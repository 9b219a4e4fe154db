"""The packet filter's rules as texts: what is let through, and when they are set again."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gateway.host.name_servers import named_for_engine, named_in
from gateway.host.packet_filter_rules import NOT_PUBLIC, Flows, Policy, plan, removal, repairs

REFUSE = "-j SGW-NO-sgw0"
WANTED = plan(4, "sgw0", Policy(), parent="DOCKER-USER")


def _saved(wanted=WANTED, before: str = "", after: str = "-A DOCKER-USER -j RETURN\n") -> str:
    """What iptables-save prints when the rules of a plan are there."""
    chains = ["INPUT ACCEPT", "FORWARD DROP", "DOCKER-USER -", *(f"{n} -" for n in wanted.chains)]
    text = "*filter\n" + "".join(f":{chain} [0:0]\n" for chain in chains) + before
    text += "".join(f"-A {parent} {rule}\n" for parent, rule in wanted.jumps) + after
    for name, rules in wanted.chains.items():
        text += "".join(f"-A {name} {rule}\n" for rule in rules)
    return text + "COMMIT\n"


EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n"


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "127.0.0.1"),
        *(
            "0.0.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "192.0.0.8",
            "168.63.129.16",
            "198.18.0.1",
            "224.0.0.1",
        ),
        *("240.0.0.1", "255.255.255.255", "198.19.255.255"),
        *("::1", "::", "fc00::1", "fd00:ec2::254", "fe80::1", "ff02::1", "64:ff9b::a9fe:a9fe"),
        *("2002:a00:1::1", "2001:0:1::1"),
    ],
)
def test_what_is_not_public_is_in_the_list(address: str) -> None:
    """Metadata services of the clouds, loopback, private networks, and IPv6 addresses that carry
    such IPv4 addresses."""
    assert any(ip_address(address) in network for network in NOT_PUBLIC)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111"]
)
def test_what_is_public_is_not_in_the_list(address: str) -> None:
    """The internet stays reachable."""
    assert not any(ip_address(address) in network for network in NOT_PUBLIC)


def test_the_host_is_closed_but_for_answers() -> None:
    """The last rule for packets to the host refuses everything."""
    rules = WANTED.chains["SGW-IN-sgw0"]

    assert rules == ["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN", REFUSE]


def test_no_address_is_let_through_before_it_is_refused() -> None:
    """By default the chain for forwarded packets has only refusals."""
    assert all(rule.endswith(REFUSE) for rule in WANTED.chains["SGW-FWD-sgw0"])


def test_a_name_server_is_reached_on_port_53_only() -> None:
    """It often is at a private address, and in one cloud at that of the metadata service."""
    server = ip_address("169.254.169.254")
    rules = plan(4, "sgw0", Policy(name_servers=(server,)), parent="FORWARD").chains

    for name in ("SGW-IN-sgw0", "SGW-FWD-sgw0"):
        chain = rules[name]
        opened = [rule for rule in chain if rule.startswith("-d 169.254.169.254/32")]
        assert opened == [
            "-d 169.254.169.254/32 -p udp -m udp --dport 53 -j RETURN",
            "-d 169.254.169.254/32 -p tcp -m tcp --dport 53 -j RETURN",
        ]


def test_a_wide_exception_does_not_open_the_host() -> None:
    """The host has an address in most networks that are named; a single address is meant."""
    policy = Policy(allowed=(ip_network("10.0.0.0/8"), ip_network("192.168.1.20")))
    chains = plan(4, "sgw0", policy, parent="FORWARD").chains

    assert "-d 10.0.0.0/8 -j RETURN" in chains["SGW-FWD-sgw0"]
    assert "-d 10.0.0.0/8 -j RETURN" not in chains["SGW-IN-sgw0"]
    assert "-d 192.168.1.20/32 -j RETURN" in chains["SGW-IN-sgw0"]


def test_with_egress_none_only_exceptions_get_through() -> None:
    """Not even name servers: names carry data."""
    policy = Policy("none", (ip_network("10.1.2.3"),), (ip_address("10.9.9.9"),))

    assert plan(4, "sgw0", policy, parent="FORWARD").chains["SGW-FWD-sgw0"] == [
        "-d 10.1.2.3/32 -j RETURN",
        REFUSE,
    ]


def test_limits_come_first() -> None:
    """Before exceptions and name servers, which would let packets through uncounted."""
    policy = Policy(
        allowed=(ip_network("10.0.0.0/8"),),
        name_servers=(ip_address("10.0.0.53"),),
        flows=Flows(open=100, new_per_s=5, names_per_s=7),
    )
    chains = plan(4, "sgw0", policy, parent="FORWARD").chains

    for name in ("SGW-IN-sgw0", "SGW-FWD-sgw0"):
        asking, beginning = chains[name][:2]
        assert asking.startswith("-p udp -m udp --dport 53 -m hashlimit --hashlimit-above 7/sec ")
        assert beginning == "-m conntrack --ctstate NEW -j SGW-NEW-sgw0"
    [names, rate, number] = chains["SGW-NEW-sgw0"]
    assert names == "-p udp -m udp --dport 53 -j RETURN"
    assert "--hashlimit-above 5/sec --hashlimit-burst 50 --hashlimit-mode srcip" in rate
    assert number.endswith(f"--connlimit-above 100 --connlimit-mask 32 --connlimit-saddr {REFUSE}")


@pytest.mark.parametrize(
    ("flows", "rules"), [(Flows(), 0), (Flows(open=1), 1), (Flows(new_per_s=1, names_per_s=1), 2)]
)
def test_each_limit_may_be_left_out(flows: Flows, rules: int) -> None:
    """0 is no limit; without any there is no chain for them, and none at all for `all`."""
    chains = plan(6, "sgw0", Policy(flows=flows), parent="FORWARD").chains
    assert len(chains.get("SGW-NEW-sgw0", [])) == rules

    open_chains = plan(4, "sgw0", Policy("all", flows=flows), parent="FORWARD").chains
    assert bool(open_chains) is bool(rules)
    assert not any(rule.startswith("-d") for chain in open_chains.values() for rule in chain)


def test_limits_that_were_set_are_removed_with_the_rest() -> None:
    """And need not be there again to be found."""
    wanted = plan(4, "sgw0", Policy(flows=Flows(1, 1, 1)), parent="DOCKER-USER")

    assert "-X SGW-NEW-sgw0" in removal(_saved(wanted), "sgw0").splitlines()
    assert repairs(_saved(wanted), wanted) == ""


def test_versions_do_not_mix() -> None:
    """ip6tables refuses an IPv4 address, and with it the whole change."""
    policy = Policy(
        allowed=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        name_servers=(ip_address("10.0.0.1"), ip_address("fd00::1")),
    )
    for version in (4, 6):
        for rules in plan(version, "sgw0", policy, parent="FORWARD").chains.values():
            addresses = [rule.split(" ")[1] for rule in rules if rule.startswith("-d ")]
            assert {ip_network(address).version for address in addresses} <= {version}


def test_nothing_is_done_when_all_is_there() -> None:
    """Every few seconds in every worker: it must not change anything."""
    assert repairs(_saved(), WANTED) == ""


def test_all_is_set_where_nothing_is() -> None:
    """In one transaction: chains first, then the jumps to them."""
    lines = repairs(EMPTY, WANTED).splitlines()

    assert lines[0] == "*filter"
    assert lines[-1] == "COMMIT"
    assert lines.index(":SGW-IN-sgw0 - [0:0]") < lines.index("-I INPUT 1 -i sgw0 -j SGW-IN-sgw0")
    assert "-I DOCKER-USER 1 -i sgw0 -j SGW-FWD-sgw0" in lines


def test_a_rule_that_was_deleted_comes_back() -> None:
    """Only the chain that lacks it is written."""
    gone = f"-A SGW-FWD-sgw0 -d 10.0.0.0/8 {REFUSE}\n"
    saved = _saved()
    assert gone in saved
    change = repairs(saved.replace(gone, ""), WANTED)

    assert gone in change
    assert "SGW-IN-sgw0" not in change
    assert "-I" not in change


def test_a_rule_that_was_put_before_the_jump_is_overtaken() -> None:
    """An `ACCEPT` in front would make ours useless."""
    change = repairs(_saved(before="-A INPUT -j ACCEPT\n"), WANTED)

    assert "-D INPUT -i sgw0 -j SGW-IN-sgw0\n-I INPUT 1 -i sgw0 -j SGW-IN-sgw0\n" in change
    assert "DOCKER-USER" not in change


def test_another_gateways_bridge_may_come_first() -> None:
    """Otherwise two gateways would move their jumps past each other for ever."""
    assert repairs(_saved(before="-A INPUT -i sgw1 -j SGW-IN-sgw1\n"), WANTED) == ""


def test_doubled_jumps_become_one() -> None:
    """Two workers may have set them at the same moment."""
    change = repairs(_saved(before="-A INPUT -i sgw0 -j SGW-IN-sgw0\n"), WANTED)

    assert change.count("-D INPUT") == 2
    assert change.count("-I INPUT") == 1


def test_removal_takes_all_of_this_bridge_and_nothing_else() -> None:
    """Rules of other bridges, and of others in the same chains, stay."""
    saved = _saved(before="-A INPUT -i sgw1 -j SGW-IN-sgw1\n-A INPUT -j ACCEPT\n")
    lines = removal(saved, "sgw0").splitlines()

    assert sorted(line for line in lines if line.startswith("-D")) == [
        "-D DOCKER-USER -i sgw0 -j SGW-FWD-sgw0",
        "-D INPUT -i sgw0 -j SGW-IN-sgw0",
    ]
    assert [line for line in lines if line.startswith("-X")] == [
        "-X SGW-NO-sgw0",
        "-X SGW-IN-sgw0",
        "-X SGW-FWD-sgw0",
    ]
    assert removal(EMPTY, "sgw0") == ""


def test_chain_names_fit() -> None:
    """28 characters are the limit (iptables-extensions(8)); interfaces have up to 15."""
    assert all(len(name) <= 28 for name in plan(4, "i" * 15, Policy(), parent="FORWARD").chains)


def test_name_servers_are_read_as_the_engine_reads_them() -> None:
    """Comments, scopes and nonsense in the file do no harm; the engine's own list wins."""
    text = "# nameserver 1.1.1.1\nnameserver 10.0.0.53\nsearch x\nnameserver fe80::1%eth0\n"

    assert named_in(text + "nameserver\nnameserver nonsense") == [
        ip_address("10.0.0.53"),
        ip_address("fe80::1"),
    ]
    assert named_for_engine('{"dns": ["10.1.1.1"]}') == [ip_address("10.1.1.1")]
    assert named_for_engine("") == named_for_engine("[]") == named_for_engine("{") == []
