"""IPython's shell, which tells what code shows. Of the warm interpreter and, awake, of a kernel."""

import builtins
import getpass
import os
import subprocess
import sys

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from .kernel import flush
from .records import failure
from .results import install, result


class Hook(DisplayHook):
    """Tells the value of the last expression."""

    _data = None

    def __call__(self, result=None):
        """A figure that was shown is not shown again at the end of the cell, with those that are
        still open."""
        super().__call__(result)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None and isinstance(result, pyplot.Figure):
            pyplot.close(result)

    def write_output_prompt(self):
        """None is written."""

    def write_format_data(self, format_dict, md_dict=None):
        """It is told at the end."""
        self._data = format_dict

    def finish_displayhook(self):
        """See DisplayHook."""
        data, self._data = self._data, None
        if data:
            self.shell.tell_result(data, is_main=True)


class Publisher(DisplayPublisher):
    """Tells what `display` shows."""

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **_more):
        """See DisplayPublisher. That something shown before has changed is not told."""
        if not update:
            self.shell.tell_result(data, is_main=False)

    def clear_output(self, wait=False):
        """What was told cannot be taken back."""


class Shell(InteractiveShell):
    """Runs cells. It is made before the fork, and tells nothing until `awake`."""

    told = None

    def awake(self, told):
        """From now on tell what happens to `told` (`kernel.Control`)."""
        self.told = told
        builtins.input = _no_input
        getpass.getpass = _no_input

    def tell_result(self, data, is_main):
        """Something is shown. What the code has forked has no place for it but its output."""
        if self.told is not None and self.told.is_own:
            self.told.tell(result(data, is_main))
        else:
            print(data.get("text/plain", ""))

    def _showtraceback(self, etype, evalue, stb):
        lines = stb if isinstance(stb, list) else [str(stb)]
        name = getattr(etype, "__name__", str(etype))
        try:
            value = str(evalue)
        except Exception:  # noqa: BLE001 - of a class of the code's own
            value = "(it has no text)"
        self.told.tell(failure(name, value, "\n".join(lines)))

    def system(self, cmd):
        """`!cmd`: what it writes goes where the kernel's output goes."""
        flush()
        shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
        status = subprocess.call([shell, "-c", self.var_expand(cmd, depth=1)])
        # As shells say it; the variable is IPython's.
        self.user_ns["_exit_code"] = status if status >= 0 else 128 - status

    def ask_exit(self):
        """`exit`: the kernel ends."""
        flush()
        os._exit(0)

    def enable_gui(self, gui=None):
        """There is no screen."""

    def init_virtualenv(self):
        """The packages are those of this interpreter."""


def _no_input(*_arguments, **_more):
    raise StdinNotImplementedError("nobody can answer: there is no input here")


def new_shell():
    """The one shell of this process."""
    config = Config()
    config.HistoryManager.enabled = False  # it would be a file, and a thread
    config.InteractiveShell.colors = "NoColor"
    config.InteractiveShell.banner1 = ""
    shell = Shell.instance(config=config, displayhook_class=Hook, display_pub_class=Publisher)
    install(shell.display_formatter)
    return shell
