"""The READMEs: short, and the same in every language."""

from __future__ import annotations

import re

import pytest

from tests.support.markdown import ROOT, Page

ENGLISH = Page("README.md")
NAMES = (ENGLISH.name, "README.it.md", "README.zh-CN.md")
ALL = [pytest.param(Page(name), id=name) for name in NAMES]
TRANSLATIONS = ALL[1:]

MOST_LINES = 150

_COMMENT = re.compile(r"\s*(?<!\S)#.*$", re.MULTILINE)


def _without_comments(blocks: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(language, _COMMENT.sub("", code)) for language, code in blocks]


def test_they_are_found() -> None:
    """The other tests here would pass on nothing."""
    assert len(ENGLISH.headings) >= 5
    assert len(ENGLISH.blocks) >= 10
    assert len(ENGLISH.rows) >= 6
    assert len(ENGLISH.links) >= 12


@pytest.mark.parametrize("readme", ALL)
def test_each_is_read_in_minutes(readme: Page) -> None:
    """What is longer belongs into docs/."""
    assert len(readme.text.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("readme", TRANSLATIONS)
def test_translations_have_the_same_structure(readme: Page) -> None:
    """A section that was added in one language only fails here, and so does a link."""
    assert [level for level, _ in readme.headings] == [level for level, _ in ENGLISH.headings]
    assert [row[0] for row in readme.rows] == [row[0] for row in ENGLISH.rows]
    assert len(readme.text.splitlines()) == len(ENGLISH.text.splitlines())
    assert sorted({*readme.links} - {*NAMES}) == sorted({*ENGLISH.links} - {*NAMES})


@pytest.mark.parametrize("readme", TRANSLATIONS)
def test_translations_name_the_same_things(readme: Page) -> None:
    """Code in the text (addresses, options, programs) is not translated, and none is left out."""
    named = [sorted(re.findall(r"`[^`\n]+`", page.prose)) for page in (readme, ENGLISH)]

    assert named[0] == named[1]


@pytest.mark.parametrize("readme", TRANSLATIONS)
def test_translations_give_the_same_figures(readme: Page) -> None:
    """A measurement that is taken anew is written into all of them."""
    figures = [sorted(re.findall(r"\d+(?:\.\d+)?", _figures(page))) for page in (readme, ENGLISH)]

    assert figures[0] == figures[1]
    assert len(figures[1]) >= 10


def _figures(page: Page) -> str:
    """The prose with decimal points, as English and Chinese write them."""
    return re.sub(r"(?<=\d),(?=\d)", ".", page.prose)


@pytest.mark.parametrize("readme", TRANSLATIONS)
def test_translations_have_the_same_code(readme: Page) -> None:
    """Only comments are translated: an example that works in one language works in all."""
    assert _without_comments(readme.blocks) == _without_comments(ENGLISH.blocks)


def test_only_comments_are_left_out_of_the_comparison() -> None:
    """Otherwise an anchor, a URL or a `$#` would hide the rest of its line from it."""
    code = "run  # why\n# whole line\nopen http://host/#anchor $# 'a#b'\n"

    assert _without_comments([("sh", code)]) == [("sh", "run\nopen http://host/#anchor $# 'a#b'\n")]


@pytest.mark.parametrize("readme", ALL)
def test_each_links_the_others_at_the_top(readme: Page) -> None:
    """Whoever opens the wrong language is one click away from theirs."""
    top = "\n".join(readme.text.splitlines()[:4])

    assert {*re.findall(r"\]\(([^)]+)\)", top)} == {*NAMES} - {readme.name}


@pytest.mark.parametrize("readme", ALL)
def test_the_two_commands_come_first(readme: Page) -> None:
    """A newcomer finds them on the first screen, and the scripts are there to be run."""
    first_screen = "\n".join(readme.text.splitlines()[:25])

    for command in ("./start.sh", "./scripts/test.sh"):
        assert command in first_screen
    assert "sgw exec" in readme.text
    for command in ("./start.sh", "./scripts/test.sh", "./scripts/run"):
        assert (ROOT / command).stat().st_mode & 0o111
