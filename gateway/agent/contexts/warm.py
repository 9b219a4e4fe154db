"""The interpreter that kernels are forked from: what takes long is imported and made here, once."""

import importlib
import os
import random
import sys
import warnings

from .shell import new_shell
from .start import KEPT_WARM

INLINE = "module://matplotlib_inline.backend_inline"
"""Figures are shown in results, as in Jupyter."""


class Nobody:
    """Is told what the warm interpreter itself has tried out."""

    is_own = True

    def tell(self, line):
        """Not told to anybody."""


class WarmInterpreter:
    """Has one thread, as long as nobody has been awakened: only so a fork is sound."""

    def __init__(self):
        os.environ.setdefault("MPLBACKEND", INLINE)
        self._shell = new_shell()
        self._import_in_advance()
        self._try_out()

    def _import_in_advance(self):
        try:
            with open(KEPT_WARM) as file:
                names = file.read().split()
        except OSError:
            names = []
        for name in names:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    importlib.import_module(name)
            except Exception:  # noqa: BLE001 - whoever imports it finds out why
                pass

    def _try_out(self):
        """What any code needs is imported when it is first needed: 60 ms for a traceback."""
        self._shell.told = Nobody()
        self._shell.run_cell("1", silent=True)
        self._shell.run_cell("1/0", silent=True)

    def awake(self, told):
        """The shell, in a fork, where it tells what happens to `told`."""
        random.seed()
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed()  # or all kernels would draw the same numbers
        sys.path.insert(0, "")
        sys.argv = [""]
        self._shell.awake(told)
        return self._shell
