"""What E2B's clients call a template: an image, a template of the operator's, or a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from gateway.errors import SnapshotNotFound, TemplateNotFound

BASE = "base"
"""Their default: the image that a sandbox is made of where nothing is said."""

_USUAL_TAGS = (":default", ":latest")


@dataclass(frozen=True)
class Meaning:
    """`image` and `snapshot` as a create takes them; both None: the default image."""

    image: str | None = None
    snapshot: str | None = None


@dataclass(frozen=True)
class TemplateWords:
    """`images` are those that are allowed, `known_as` names of E2B's for some of them. `image_of`
    knows the operator's templates, `snapshot_of` a snapshot's id by a word and its owner's name."""

    images: Collection[str]
    image_of: Callable[[str], str | None]
    snapshot_of: Callable[[str, str], str]
    known_as: Mapping[str, str] = field(default_factory=dict)

    def meaning(self, word: str, owner: str) -> Meaning:
        """Raises TemplateNotFound and StoreUnavailable."""
        for tag in ("", *_USUAL_TAGS):
            if word.endswith(tag):
                found = self._found(word.removesuffix(tag), owner)
                if found is not None:
                    return found
        raise TemplateNotFound(f"template '{word[:255]}' not found")

    def _found(self, word: str, owner: str) -> Meaning | None:
        if word == BASE:
            return Meaning()
        known = self.known_as.get(word)
        if known is not None or word in self.images:
            return Meaning(image=known or word)
        if self.image_of(word) is not None:
            return Meaning(image=word)
        try:
            return Meaning(snapshot=self.snapshot_of(word, owner))
        except SnapshotNotFound:
            return None
