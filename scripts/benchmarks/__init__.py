"""What `scripts/bench` measures, and what all its subcommands share.

A benchmark compares *subjects* on one machine at one time: in every round each subject gives a
few samples, so that whatever else the machine does meets all of them alike. Only their ratios say
something about the code; the milliseconds belong to the machine.

    command_line.py     arguments, subcommands, exit status
    command_latency.py  `exec`: a command over the WebSocket, by docker exec, and the kernel's floor
    create_latency.py   `create`: a new sandbox, warm, cold and fifty at once
    crowd.py            `crowd`: thousands of clients that are merely there
    crowd_clients.py    those clients
    neighbours.py       `neighbours`: one sandbox beside another in which everything goes wrong
    fork_floor.py       the program that measures the floor, inside the sandbox
    gateway.py          the gateway that is measured: a private one, or one that runs already
    client.py           a sandbox as a client sees it: REST and WebSocket
    leftovers.py        removal of the containers of private gateways
    rounds.py           subjects, interleaved rounds, the samples they give
    targets.py          ratios of samples, and what they must be
    machine.py          on what was measured
    report.py           the outcome as a text table and as JSON
"""
