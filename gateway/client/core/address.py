"""Where the gateway is, and what is sent with each request."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..api_error import BadAddress

DEFAULT_URL = "http://localhost:8003"

URL_VARIABLE, KEY_VARIABLE = "GATEWAY_URL", "GATEWAY_KEY"


@dataclass(frozen=True)
class Address:
    """A gateway. `url` has no slash at its end; `key` is an API key or an access token."""

    url: str
    key: str | None = None
    language: str | None = None

    @classmethod
    def of(cls, url: str | None, key: str | None, language: str | None = None) -> Address:
        """What is not given is taken from GATEWAY_URL and GATEWAY_KEY. Raises BadAddress."""
        url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        key = key if key is not None else os.environ.get(KEY_VARIABLE)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise BadAddress(f"{url!r} is no address like {DEFAULT_URL}")
        if parts.query or parts.fragment or parts.username:
            raise BadAddress(f"{url!r}: an address has neither a query nor a user; use a key")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise BadAddress("the key has characters that no key has")
        return cls(url.rstrip("/"), key or None, language)

    @property
    def headers(self) -> dict[str, str]:
        """Sent with each request."""
        sent = {"User-Agent": "sandbox-gateway-client"}
        if self.key:
            sent["Authorization"] = f"Bearer {self.key}"
        if self.language:
            sent["Accept-Language"] = self.language
        return sent

    @property
    def is_encrypted(self) -> bool:
        """Whether certificates are needed."""
        return self.url.startswith("https:")

    @property
    def is_this_machine(self) -> bool:
        """No proxy leads there."""
        host = urlsplit(self.url).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def websocket_url(self) -> str:
        """The same place, for WebSockets."""
        return "ws" + self.url.removeprefix("http")
