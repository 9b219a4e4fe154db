"""The programs of docs/e2b.md, with nothing but the environment that the page says."""

from __future__ import annotations

from tests.support.e2b_sdks import run_node, run_python
from tests.support.gateway_process import GatewayProcess
from tests.support.markdown import Page

PRINTED = {
    "python": [
        ["[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]", "", "['primes.py']"],
        ["85.33333333333333", "b'PNG'", "AttributeError"],
    ],
    "javascript": [["5"]],
}


def test_they_run_as_they_stand(code_gateway: GatewayProcess) -> None:
    """And print what they would with E2B."""
    run = {"python": run_python, "javascript": run_node}
    printed: dict[str, list[list[str]]] = {language: [] for language in run}
    for language, program in Page("docs/e2b.md").blocks:
        if language in run:
            done = run[language](code_gateway, program)
            printed[language].append(done.stdout.rstrip("\n").split("\n"))

    assert printed == PRINTED
