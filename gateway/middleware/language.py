"""Localised texts: which language a request wants, and the texts in it.

A text is marked where it is written down (`N_` in `gateway.errors`) and translated when a request
is at hand. The catalogues are the `.po` files in `gateway/locale`; they are compiled when the
application is made, because generated files do not belong into the repository.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations
from flask import Flask, Response, g, has_request_context, request
from flask_babel import Babel, get_locale, get_translations
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from gateway.errors import GatewayError

DEFAULT_LANGUAGE = "en"
LANGUAGES = (DEFAULT_LANGUAGE, "it", "zh")

_LONGEST_ACCEPTED = 512
"""Characters of `Accept-Language` that are looked at."""

_CATALOGUES = Path(__file__).parents[1] / "locale"


@dataclass(frozen=True)
class Texts:
    """The texts in one language. Made within a request, usable anywhere after that.

    Greenlets inherit no context variables (gevent copies none), so one that outlives or leaves the
    request takes its `Texts` along.
    """

    language: str
    _translations: NullTranslations

    def translate(self, msgid: str, **params: str) -> str:
        """The text in this language with its placeholders filled; English where none is known."""
        text: str = self._translations.ugettext(msgid)
        return text % params if params else text

    def localised(self, error: GatewayError) -> str:
        """What happened, for people."""
        return self.translate(error.message or error.title, **error.params)


def install(app: Flask, directory: Path) -> None:
    """Compile the catalogues into `directory` and let `app` speak them.

    Answers for which a text was asked get `Content-Language` and `Vary`.
    """
    compile_catalogues(directory)
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(directory)
    Babel(
        app,
        default_locale=DEFAULT_LANGUAGE,
        configure_jinja=False,
        locale_selector=_language_of_request,
    )
    app.after_request(_declare_language)


def texts() -> Texts:
    """The texts in the language of the current request; English outside of one."""
    if not has_request_context():
        return Texts(DEFAULT_LANGUAGE, NullTranslations())
    g.localised = True
    return Texts(str(get_locale()), get_translations())


def translate(msgid: str, **params: str) -> str:
    """`Texts.translate` in the language of the current request."""
    return texts().translate(msgid, **params)


def localised(error: GatewayError) -> str:
    """`Texts.localised` in the language of the current request."""
    return texts().localised(error)


def best_language(accepted: Iterable[tuple[str, float]]) -> str:
    """The one of LANGUAGES the client likes best; English when it likes none.

    `accepted` are the ranges of `Accept-Language` with their qualities, best first and `*` last,
    as werkzeug sorts them. Only the primary subtag counts: `zh-TW` and `zh-Hans` are `zh`.
    werkzeug's own `best_match` prefers an exact match of any quality: for `it-IT,en;q=0.5` it
    says English.
    """
    liking: dict[str, float] = {}
    for tag, quality in accepted:
        primary = re.split(r"[-_;\s]", tag.lower(), maxsplit=1)[0]
        for language in LANGUAGES if primary == "*" else (primary,):
            liking.setdefault(language, quality)
    spoken = [language for language in liking if language in LANGUAGES and liking[language] > 0]
    return max(spoken, key=liking.__getitem__, default=DEFAULT_LANGUAGE)


def compile_catalogues(directory: Path) -> None:
    """Write each `.po` of the package as `.mo` into `directory`, which is made if missing.

    Each file appears complete or not at all: several workers do this at the same time.
    """
    for source in sorted(_CATALOGUES.glob("*/LC_MESSAGES/*.po")):
        target = (directory / source.relative_to(_CATALOGUES)).with_suffix(".mo")
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as po:
            catalogue = read_po(po, locale=source.parent.parent.name)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as unfinished:
            write_mo(unfinished, catalogue)
        os.replace(unfinished.name, target)


def _language_of_request() -> str:
    accepted = request.headers.get("Accept-Language", "")
    # A header of 8 KiB would take 13 ms to read, for whoever sends it, with or without a key.
    return best_language(parse_accept_header(accepted[:_LONGEST_ACCEPTED], LanguageAccept))


def _declare_language(response: Response) -> Response:
    if g.get("localised"):
        response.headers["Content-Language"] = str(get_locale())
        response.vary.add("Accept-Language")
    return response
