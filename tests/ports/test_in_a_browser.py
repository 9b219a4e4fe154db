"""Pages of sandboxes in Chromium: what a hostile one tries, and what an honest one needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.browser import Chromium
from tests.support.gateway_process import GatewayProcess
from tests.support.port_servers import by_path, host_of, put_text, start_odd_server, start_server

PAGES = 8080

HOSTILE = """<!doctype html><title>hostile</title><pre id=out></pre><script>
const gateway = new URLSearchParams(location.search).get("gateway");
const found = {};
async function attempt(name, work) {
  try { found[name] = String(await work()); }
  catch (error) { found[name] = "refused: " + error; }
}
const answered = async (url, options) => {
  const answer = await fetch(url, options);
  return answer.status + " " + await answer.text();
};
(async () => {
  found.origin = self.origin;
  await attempt("cookie", () => { document.cookie = "a=1"; return document.cookie; });
  await attempt("storage", () => { localStorage.a = "1"; return localStorage.a; });
  await attempt("list", () => answered(gateway + "/sandboxes"));
  await attempt("create", () => answered(gateway + "/sandboxes", {method: "POST"}));
  await attempt("create_plain", () => fetch(gateway + "/sandboxes",
    {method: "POST", mode: "no-cors", body: "{}"}).then(a => a.type));
  await attempt("websocket", () => new Promise((done, failed) => {
    const socket = new WebSocket(gateway.replace("http", "ws") + "/ws/" + %ID%);
    socket.onopen = () => done("open"); socket.onerror = () => failed("no"); }));
  await attempt("frame", () => new Promise(done => {
    const frame = document.createElement("iframe");
    frame.src = gateway + "/docs";
    frame.onload = () => { try { done(frame.contentDocument.title || "empty"); }
                           catch (error) { done("refused: " + error); } };
    document.body.append(frame); }));
  await attempt("opener", () => window.opener ? window.opener.document.title : "none");
  await attempt("worker", async () => {
    const made = await navigator.serviceWorker.register("worker.js"); return made.scope; });
  await attempt("wide_worker", async () => {
    const made = await navigator.serviceWorker.register("worker.js", {scope: "/"});
    return made.scope; });
  document.getElementById("out").textContent = JSON.stringify(found);
})();
</script>"""

FORM = """<!doctype html><title>form</title><form method=post action=there>
<input name=a value=1><button>send</button></form>"""

APPLICATION = """<!doctype html><title>application</title><p id=out></p><script type=module>
import {word} from "./word.js";
document.cookie = "mine=1";
localStorage.mine = "2";
const socket = new WebSocket(`ws://${location.host.replace("8080-", "8000-")}/ws`);
socket.onopen = () => socket.send("hello");
socket.onmessage = event => {
  document.getElementById("out").textContent =
    [word, document.cookie, localStorage.mine, event.data].join(" ");
};
</script>"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    browser = Chromium()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def site(shared_gateway: GatewayProcess) -> Iterator[str]:
    """A sandbox that serves the pages on one port, and the odd server's answers on another."""
    gateway, sandbox_id = shared_gateway, shared_gateway.create(network="none")
    hostile = HOSTILE.replace("%ID%", json.dumps(sandbox_id))
    for name, text in (
        ("hostile.html", hostile),
        ("form.html", FORM),
        ("application.html", APPLICATION),
        ("word.js", "export const word = 'module';"),
        ("worker.js", "self.addEventListener('fetch', () => {});"),
    ):
        put_text(gateway, sandbox_id, f"site/{name}", text)
    start_odd_server(gateway, sandbox_id)
    serve = f"cd site && exec python3 -m http.server --bind 127.0.0.1 {PAGES}"
    start_server(gateway, sandbox_id, serve, PAGES)
    yield sandbox_id
    gateway.delete(f"/sandboxes/{sandbox_id}")


def attempts(page: Page, url: str) -> dict[str, Any]:
    """What the hostile page at an address found."""
    page.goto(url)
    page.wait_for_function("document.getElementById('out').textContent != ''")
    found: dict[str, Any] = json.loads(page.inner_text("#out"))
    return found


def ids_of(gateway: GatewayProcess) -> set[str]:
    return gateway.listed()


@pytest.mark.parametrize("way", ["path", "token", "host"])
def test_a_hostile_page_gets_nothing_of_the_gateway(
    gateway: GatewayProcess, site: str, chromium: Chromium, way: str
) -> None:
    """Whichever way it was opened: no list, no sandbox more, no WebSocket, no window of the
    gateway's, and no cookie or service worker in the gateway's origin."""
    own = f"http://localhost:{gateway.port}"
    address = own + by_path(site, port=PAGES)
    if way == "token":
        address = gateway.post(f"/sandboxes/{site}/ports/{PAGES}/token").json()["url"]
        address = address.replace("127.0.0.1", "localhost")
    elif way == "host":
        address = f"http://{host_of(gateway, site, PAGES)}/"
    before = ids_of(gateway)

    found = chromium.visit(lambda page: attempts(page, f"{address}hostile.html?gateway={own}"))

    assert ids_of(gateway) == before, "it made a sandbox"
    refused = {name for name, what in found.items() if what.startswith("refused")}
    assert {"list", "create", "websocket"} <= refused, found
    assert found["frame"] == "empty" or found["frame"].startswith("refused")
    assert found["opener"] == "none"
    if way == "host":
        assert found["origin"] == f"http://{host_of(gateway, site, PAGES)}"
        assert found["worker"].startswith(found["origin"])
    else:
        assert found["origin"] == "null"
        assert {"cookie", "storage", "worker", "wide_worker"} <= refused, found


def test_pages_of_the_gateway_cannot_be_reached_by_what_they_open(
    gateway: GatewayProcess, site: str, chromium: Chromium
) -> None:
    """`window.opener` would let a page of a sandbox lead the gateway's own window elsewhere."""
    own = f"http://localhost:{gateway.port}"

    def work(page: Page) -> list[str]:
        page.goto(f"{own}/docs")
        openers = []
        for address in (
            f"http://{host_of(gateway, site, PAGES)}/",
            own + by_path(site, port=PAGES),
        ):
            with page.context.expect_page() as opened:
                page.evaluate("url => { window.open(url); }", f"{address}form.html")
            popup = opened.value
            popup.wait_for_load_state()
            openers.append(str(popup.evaluate("String(window.opener)")))
            assert popup.title() == "form"
            popup.close()
        return openers

    assert chromium.visit(work) == ["null", "null"]


def test_an_application_works_under_a_host_of_its_own(
    gateway: GatewayProcess, site: str, chromium: Chromium
) -> None:
    """Modules, cookies, storage, and a WebSocket to another port of the same sandbox."""

    def work(page: Page) -> str:
        page.goto(f"http://{host_of(gateway, site, PAGES)}/application.html")
        page.wait_for_function("document.getElementById('out').textContent != ''")
        return page.inner_text("#out")

    assert chromium.visit(work) == "module mine=1 2 hello"


def test_a_form_can_be_sent_from_an_address_with_a_token(
    gateway: GatewayProcess, site: str, chromium: Chromium
) -> None:
    """`allow-forms` is of use: the page's origin is `null`, and its address says who opened it."""
    issued = gateway.post(f"/sandboxes/{site}/ports/{PAGES}/token").json()

    def work(page: Page) -> tuple[int, str]:
        page.goto(f"{issued['url']}form.html")
        with page.expect_navigation() as answered:
            page.click("button")
        return answered.value.status, page.url

    # http.server knows no POST: that it says so shows that it was asked.
    assert chromium.visit(work) == (501, f"{issued['url']}there")


def test_a_browser_keeps_an_address_with_a_token(
    keyed: GatewayProcess, alices: str, chromium: Chromium
) -> None:
    """The first visit brings a cookie, which further ones and requests of the page are let in by;
    the token is in no address any more, nor in what the server sees."""
    issued = keyed.post(f"/sandboxes/{alices}/ports/8000/token").json()

    def work(page: Page) -> tuple[str, dict[str, Any], int]:
        page.goto(issued["host_url"])
        url, told = page.url, json.loads(page.inner_text("body"))
        again = page.goto(f"http://{host_of(keyed, alices)}/again")
        assert again is not None
        return url, told, again.status

    url, told, status = chromium.visit(work)
    assert url == f"http://{host_of(keyed, alices)}/"
    assert issued["token"] not in json.dumps(told)
    assert status == 200
