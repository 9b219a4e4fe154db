"""Debian's Chromium, driven by playwright in a thread of its own.

playwright's synchronous interface runs an event loop in the thread that uses it, which would change
what other tests find in theirs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from playwright.sync_api import Browser, Page, sync_playwright

Value = TypeVar("Value")

ARGUMENTS = [
    # Tests run as root in containers without the namespaces of its own sandbox.
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
    *("--disable-background-networking", "--no-first-run"),
]

WITHIN_S = 20.0


class Chromium:
    """One browser. Names below `localhost` lead to this machine, as everywhere."""

    def __init__(self) -> None:
        program = shutil.which("chromium")
        assert program, "Chromium is not installed (as root: apt-get install chromium)"
        self._thread = ThreadPoolExecutor(1)
        self._thread.submit(self._start, program).result()

    def _start(self, program: str) -> None:
        self._playwright = sync_playwright().start()
        self._browser: Browser = self._playwright.chromium.launch(
            executable_path=program, args=ARGUMENTS
        )

    def visit(self, work: Callable[[Page], Value], **options: Any) -> Value:
        """Do `work` with a page of a new profile."""
        return self._thread.submit(self._visit, work, options).result()

    def _visit(self, work: Callable[[Page], Value], options: dict[str, Any]) -> Value:
        context = self._browser.new_context(**options)
        context.set_default_timeout(WITHIN_S * 1000)
        try:
            return work(context.new_page())
        finally:
            context.close()

    def close(self) -> None:
        self._thread.submit(self._end).result()
        self._thread.shutdown()

    def _end(self) -> None:
        self._browser.close()
        self._playwright.stop()
