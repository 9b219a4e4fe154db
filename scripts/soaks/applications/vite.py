"""Vite's development server, and a page of it in Chromium that is changed while it is open."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.client import BenchmarkFailed
from playwright.sync_api import Page, sync_playwright

from .sandbox import Sandbox, fetched

PORT = 5173
CHANGES = 10
BETWEEN_S = 0.5
"""Vite's watcher (chokidar) drops a change of a file that comes within a tenth of a second of the
last one, wherever it runs."""

WITHIN_MS = 20_000

PAGE = (
    '<!doctype html><link rel="stylesheet" href="/style.css"><p id=out></p>'
    '<script type=module src="/main.js"></script>'
)
MAIN = """import {word} from "./word.js";
const show = text => { document.getElementById("out").textContent = text; };
show(word);
import.meta.hot.accept("./word.js", changed => show(changed.word));
"""
CONFIGURATION = "export default {server: {allowedHosts: ['.localhost'], hmr: {overlay: false}}};"


def seconds(sandbox: Sandbox, directory: Path, say: Callable[[str], None]) -> dict[str, float]:
    """How long it took to start, to open the page, and from a change of a module to the page that
    shows it (the median and the worst). Raises BenchmarkFailed."""
    node, chromium = shutil.which("node"), shutil.which("chromium")
    if node is None or chromium is None:
        raise BenchmarkFailed("as root: apt-get install nodejs npm chromium")
    if not (directory / "node_modules").exists():
        fetched(["npm", "install", "--no-audit", "--no-fund", "--prefix", ".", "vite@5"], directory)
        say("vite: fetched")
    began = time.monotonic()
    sandbox.unpack(
        "app",
        [(Path(node).resolve(), "bin/node"), (directory / "node_modules", "node_modules")],
    )
    figures = {"vite: node and packages unpacked": time.monotonic() - began}
    sandbox.put("app/index.html", PAGE.encode())
    sandbox.put("app/main.js", MAIN.encode())
    sandbox.put("app/style.css", b"#out { color: rgb(1, 2, 3) }")
    sandbox.put("app/word.js", b"export const word = 'first';")
    sandbox.put("app/vite.config.js", CONFIGURATION.encode())
    figures["vite: started"] = sandbox.start(
        "cd app && exec bin/node node_modules/vite/bin/vite.js --strictPort", PORT, "vite"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page()
        page.set_default_timeout(WITHIN_MS)
        figures |= _in_page(sandbox, page)
        browser.close()
    return figures


def _in_page(sandbox: Sandbox, page: Page) -> dict[str, float]:
    began = time.monotonic()
    # A change that comes before its WebSocket stands is not told to the page.
    with page.expect_console_message(lambda message: "[vite] connected" in message.text):
        page.goto(f"http://{sandbox.host(PORT)}/")
    _wait_for(page, "first")
    figures = {"vite: page opened": time.monotonic() - began}
    page.evaluate("window.isTheSame = true")
    changes = []
    for number in range(CHANGES):
        time.sleep(BETWEEN_S)
        began = time.monotonic()
        sandbox.put("app/word.js", f"export const word = 'changed {number}';".encode())
        _wait_for(page, f"changed {number}")
        changes.append(time.monotonic() - began)
    if not page.evaluate("window.isTheSame"):
        raise BenchmarkFailed("the page was loaded anew: its modules were not replaced")
    sandbox.put("app/style.css", b"#out { color: rgb(7, 8, 9) }")
    page.wait_for_function(
        "getComputedStyle(document.getElementById('out')).color == 'rgb(7, 8, 9)'"
    )
    changes.sort()
    figures["vite: a change to the page that shows it, median"] = changes[len(changes) // 2]
    figures["vite: the same, the worst of ten"] = changes[-1]
    return figures


def _wait_for(page: Page, text: str) -> None:
    page.wait_for_function(f"document.getElementById('out').textContent == '{text}'")
