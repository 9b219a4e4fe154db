"""The catalogues are complete, and appear whole."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from babel.support import Translations

import gateway
from gateway.middleware import language

PACKAGE = Path(gateway.__file__).parent
LANGUAGES = [language for language in language.LANGUAGES if language != "en"]

_PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z%]")


@pytest.fixture(scope="module")
def marked() -> set[str]:
    found = extract_from_dir(PACKAGE, method_map=[("**.py", "python")])
    return {text for _, _, text, _, _ in found}


def _catalogue(language: str) -> Catalog:
    with (PACKAGE / "locale" / language / "LC_MESSAGES" / "messages.po").open("rb") as po:
        return read_po(po, locale=language, abort_invalid=True)


def test_texts_are_found(marked: set[str]) -> None:
    """The other tests here would pass on nothing."""
    assert "Sandbox container created successfully" in marked
    assert len(marked) > 20


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_marked_text_is_translated(marked: set[str], language: str) -> None:
    """A new text without its translations fails here. gateway/locale/babel.cfg says what to do."""
    catalogue = _catalogue(language)
    translated = {m.id for m in catalogue if m.id and m.string and not m.fuzzy}

    assert marked - translated == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_is_left_over(marked: set[str], language: str) -> None:
    """A text that was changed leaves its old translation behind."""
    assert {m.id for m in _catalogue(language) if m.id} - marked == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_are_the_same(language: str) -> None:
    """One that differs would raise in the middle of an error's answer."""
    for message in _catalogue(language):
        if message.id:
            assert sorted(_PLACEHOLDER.findall(message.id)) == sorted(
                _PLACEHOLDER.findall(message.string)
            )


def test_workers_may_compile_at_the_same_time(tmp_path: Path) -> None:
    """Several start at once on one data directory: each sees whole files, and none is left over."""
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(5):
                language.compile_catalogues(tmp_path)
                italian = Translations.load(tmp_path, ["it"])
                assert italian.ugettext("Internal error") == "Errore interno"
        except Exception as error:  # noqa: BLE001 - asserted below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["messages.mo"] * 2
