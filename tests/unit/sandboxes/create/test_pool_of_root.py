"""Which pooled sandboxes serve requests with root."""

from __future__ import annotations

import pytest

from gateway.errors import SettingsError
from gateway.settings import load_settings


def test_the_settings_say_which_have_root() -> None:
    """Capabilities cannot be added to a container that runs: those with root are made as such."""
    settings = load_settings(
        image="usual", allow_root=True, pool_images="usual,usual+root,python@strict+root"
    )
    assert settings.pooled == (("usual", "standard"),)
    assert settings.pooled_with_root == (("usual", "standard"), ("python", "strict"))
    assert load_settings(image="usual", allow_root=True).pooled_with_root == ()


def test_without_the_operators_word_there_are_none() -> None:
    """A pool that nobody may take from would only cost memory."""
    for wrong in ("usual+root", "usual@strict+root"):
        with pytest.raises(SettingsError, match="SANDBOX_ALLOW_ROOT"):
            load_settings(pool_images=wrong)
    with pytest.raises(SettingsError, match="isolation level"):
        load_settings(pool_images="usual@nothing+root", allow_root=True)
