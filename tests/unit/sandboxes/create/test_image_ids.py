"""How old an answer about an image's name may be, and who waits for a new one."""

from __future__ import annotations

import gevent
import pytest

from gateway.errors import EngineUnavailable, ImageMissing
from gateway.sandboxes.create import image_ids
from gateway.sandboxes.create.image_ids import ImageIds


class FakeEngine:
    def __init__(self) -> None:
        self.says: str | Exception = "one"
        self.asked = 0

    def image_id(self, image: str) -> str:
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def ids(engine: FakeEngine) -> ImageIds:
    return ImageIds(engine)  # type: ignore[arg-type]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_ids, "KNOWN_S", 0.0)
    monkeypatch.setattr(image_ids, "ASK_AFTER_S", 0.01)


def test_an_answer_serves_for_a_while(engine: FakeEngine, ids: ImageIds) -> None:
    assert {ids.now("a"), ids.now("a"), ids.last("a")} == {"one"}
    assert engine.asked == 1


@pytest.mark.usefixtures("quick")
def test_who_takes_waits_for_nothing_and_the_next_one_knows(
    engine: FakeEngine, ids: ImageIds
) -> None:
    assert ids.last("a") == "one"
    engine.says = "two"
    assert {ids.last("a"), ids.last("a")} == {"one"}
    assert engine.asked == 1
    gevent.sleep(0.05)
    assert engine.asked == 2  # once for both
    assert ids.last("a") == "two"


@pytest.mark.usefixtures("quick")
def test_an_image_that_has_gone_is_forgotten(engine: FakeEngine, ids: ImageIds) -> None:
    assert ids.last("a") == "one"
    engine.says = ImageMissing("no such image")
    ids.last("a")
    gevent.sleep(0.05)
    assert ids.last("a") is None
    engine.says = "two"
    assert ids.last("a") == "two"


@pytest.mark.usefixtures("quick")
def test_an_engine_that_is_away_leaves_what_is_known(engine: FakeEngine, ids: ImageIds) -> None:
    assert ids.last("a") == "one"
    engine.says = EngineUnavailable("it is away")
    ids.last("a")
    gevent.sleep(0.05)
    assert ids.last("a") == "one"
    engine.says = "two"
    gevent.sleep(0.05)
    assert ids.last("a") == "two"
