"""Migrates the store of the settings' data directory: `python -m gateway.store.migrate`.

Ends with status 0, or with 1 and one line on standard error; then the store is as it was.
"""

from __future__ import annotations

import sys
import time

from gateway.errors import SettingsError, StoreUnavailable
from gateway.settings import load_settings
from gateway.store.database import Database


def main() -> int:
    """The exit status."""
    started = time.monotonic()
    try:
        Database(load_settings().data_dir / "gateway.db").close()
    except (SettingsError, StoreUnavailable) as error:
        sys.stderr.write(f"The gateway does not start: {error}\n")
        return 1
    sys.stderr.write(f"The store was migrated in {time.monotonic() - started:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
