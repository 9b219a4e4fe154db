"""Start the process of a command: on pipes or on a pseudo-terminal."""

import contextlib
import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios

from gateway.protocol import streams

NOT_EXECUTABLE = 126
NOT_FOUND = 127

MARKER = "AGENT_COMMAND_ID"
"""Environment variable by which a command's descendants are known after they moved away."""

OOM_SCORE_ADJ = b"800"
"""Commands are killed before the agent, which has 500, when the sandbox runs out of memory
(proc(5))."""

LONGEST_ARGUMENT = 128 * 1024 - 4096

_TIOCGPTN = 0x80045430
_TIOCGPTPEER = 0x5441
"""Of ioctl_tty(2); Python has no names for them."""

SHELLS = ("/bin/bash", "/bin/sh")


class StartFailed(Exception):
    """The process could not be started; `returncode` is what a shell would say."""

    def __init__(self, why, returncode):
        super().__init__(why)
        self.returncode = returncode


class Process:
    """A started process: its pid, where its output comes from, where its input goes.

    `outputs` maps descriptors to streams; `stdin` is a descriptor or None; `terminal` says that
    one descriptor is both. All of them are non-blocking and belong to whoever holds this.
    """

    def __init__(self, pid, outputs, stdin=None, terminal=False):
        self.pid = pid
        self.outputs = outputs
        self.stdin = stdin
        self.terminal = terminal
        self.hung_up = False
        """Whether, at the last look, nobody had the terminal open."""
        for fd in list(outputs) + ([stdin] if stdin is not None else []):
            os.set_blocking(fd, False)


def shell():
    """The shell that commands are given to."""
    return SHELLS[0] if os.path.exists(SHELLS[0]) else SHELLS[1]


@contextlib.contextmanager
def shell_command(text):
    """(argv, descriptors to pass on) that run `text` (bytes) in the shell.

    The kernel takes no argument over 128 KiB (execve(2), MAX_ARG_STRLEN); a longer text is read by
    the shell from a file without a name.
    """
    if len(text) < LONGEST_ARGUMENT:
        # "--": a text that begins with a dash is no option of the shell's.
        yield [shell(), "-c", "--", text], ()
        return
    with _nameless_file() as script:
        script.write(text)
        script.flush()
        script.seek(0)
        fd = script.fileno()
        yield [shell(), "/dev/fd/%d" % fd], (fd,)


def words(argv):
    """Whether these can be the words of a command line."""
    return isinstance(argv, list) and bool(argv) and all(isinstance(word, str) for word in argv)


@contextlib.contextmanager
def started_by(argv, text):
    """The same for `argv`, which is started as it is, or without one for a text."""
    if argv is not None:
        yield [word.encode("utf-8") for word in argv], ()
        return
    with shell_command(text.encode("utf-8")) as shell_argv:
        yield shell_argv


def _nameless_file():
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("command"), "w+b")
    import tempfile  # Python 3.7; takes 20 ms to load

    return tempfile.TemporaryFile()


def on_pipes(argv, environment, directory, with_stdin, pass_fds=()):
    """Start `argv` with stdout and stderr apart; stdin is a pipe or /dev/null.

    Raises StartFailed.
    """
    read_out, write_out = os.pipe()
    read_err, write_err = os.pipe()
    read_in, write_in = os.pipe() if with_stdin else (subprocess.DEVNULL, -1)
    try:
        pid = _spawn(
            argv,
            environment,
            directory,
            stdin=read_in,
            stdout=write_out,
            stderr=write_err,
            pass_fds=pass_fds,
        )
    except StartFailed:
        for fd in (read_out, read_err) + ((write_in,) if with_stdin else ()):
            os.close(fd)
        raise
    finally:
        for fd in (write_out, write_err) + ((read_in,) if with_stdin else ()):
            os.close(fd)
    outputs = {read_out: streams.STDOUT, read_err: streams.STDERR}
    return Process(pid, outputs, write_in if with_stdin else None)


def with_script(argv, environment, directory, stdout, stderr):
    """Start a shell that reads its commands from a pipe and writes to these descriptors.

    (pid, write end of the pipe, blocking). Raises StartFailed.
    """
    read_in, write_in = os.pipe()
    try:
        pid = _spawn(argv, environment, directory, stdin=read_in, stdout=stdout, stderr=stderr)
    except StartFailed:
        os.close(write_in)
        raise
    finally:
        os.close(read_in)
    return pid, write_in


def on_terminal(argv, environment, directory, cols, rows, pass_fds=()):
    """Start `argv` on a new pseudo-terminal, which is its controlling one. Raises StartFailed."""
    master, slave = pty.openpty()
    try:
        set_window_size(master, cols, rows)

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        # Not LINES and COLUMNS: ncurses prefers them, and would never follow a resize.
        environment = dict(environment)
        environment.setdefault("TERM", "xterm-256color")
        pid = _spawn(
            argv,
            environment,
            directory,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=take_terminal,
            pass_fds=pass_fds,
        )
    except StartFailed:
        os.close(master)
        raise
    finally:
        os.close(slave)
    return Process(pid, {master: streams.STDOUT}, master, terminal=True)


def set_window_size(terminal, cols, rows):
    """Tell a terminal its size; its foreground process gets SIGWINCH (ioctl_tty(2))."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def terminal_has_input(terminal):
    """Whether something that was typed, or an end of input, waits to be read from a terminal."""
    no_control = os.O_RDONLY | os.O_NOCTTY
    try:
        try:
            other_side = fcntl.ioctl(terminal, _TIOCGPTPEER, no_control)
        except OSError:  # Linux 4.12 and older, and gVisor
            number = struct.unpack("I", fcntl.ioctl(terminal, _TIOCGPTN, bytes(4)))[0]
            other_side = os.open("/dev/pts/%d" % number, no_control)
    except OSError:
        return True
    try:
        poll = select.poll()
        poll.register(other_side, select.POLLIN)
        return bool(poll.poll(0))
    finally:
        os.close(other_side)


def _spawn(argv, environment, directory, **streams):
    try:
        process = subprocess.Popen(
            argv, cwd=directory, env=environment, start_new_session=True, **streams
        )
    except OSError as error:
        # No shell looks for a name that no file can have.
        missing = error.errno in (errno.ENOENT, errno.ENAMETOOLONG) and error.filename != directory
        raise StartFailed(str(error), NOT_FOUND if missing else NOT_EXECUTABLE) from None
    except (ValueError, subprocess.SubprocessError) as error:
        raise StartFailed(str(error), NOT_EXECUTABLE) from None
    # The loop reaps with waitpid(2); without a return code here, Popen would try as well.
    process.returncode = 0
    _prefer_as_oom_victim(process.pid)
    return process.pid


def _prefer_as_oom_victim(pid):
    try:
        fd = os.open("/proc/%d/oom_score_adj" % pid, os.O_WRONLY)
    except OSError:
        return  # it has exited already, or this kernel has no such file
    try:
        os.write(fd, OOM_SCORE_ADJ)
    except OSError:
        pass
    finally:
        os.close(fd)
