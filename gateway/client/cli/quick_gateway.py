"""A gateway that is asked a few times only, and shall be asked soon."""

from __future__ import annotations

from ..core.address import Address
from ..core.retrying import Retrying
from ..sync.driver import Driver
from ..sync.gateway import Gateway
from ..sync.plain_driver import PlainDriver, is_enough


class QuickGateway(Gateway):
    """Without httpx2 where the standard library is enough."""

    def _made_driver(self, address: Address, retrying: Retrying) -> Driver:
        if is_enough(address):
            return PlainDriver(address, retrying)
        return super()._made_driver(address, retrying)
