"""What is written to a session's shell: the lines that run one command and tell how it ended.

The user's state must not break them. Functions and aliases may have any name, options may be set,
traps may run before each command. So these lines rely on little:

- Compound commands and redirections, which no function, trap or option can replace.
- Assignments, whose failure is noticed: then the command has not begun.
- Special builtins in POSIX mode, where they are found before functions (bash manual, 6.11). A
  `POSIXLY_CORRECT` before the builtin turns the mode on, and `unset` turns it off again.

The shell is interactive, because only such a shell comes back to its next line after SIGINT. The
text that runs a command is given to it as PROMPT_COMMAND, which bash evaluates as scripts are:
without `[1] 42` after a `&` and without an `exit` on stderr.

What bash itself writes between commands, and what an EXIT trap writes, goes to the stdout and
stderr that the shell was started with.
"""

import re

SETUP = (
    "PS1= PS2= PS0=; POSIXLY_CORRECT=y \\eval "
    "'\\set +o history +H; \\unset HISTFILE MAIL MAILPATH MAILCHECK POSIXLY_CORRECT'\n"
)
"""The first line: no prompts, no history, no news of mail."""

KEPT = {1: 251, 2: 252}
"""Where stdout and stderr stay that the user chose (`exec >file`), between two commands."""

_LOOK = {1: 8, 2: 9}
"""Where they are for the time of a comparison. What the user has there comes back afterwards."""

_SPECIAL = re.compile(r'[\\$`"]')

_QUOTED = re.compile(r"""\\.|'[^']*'|"[^"$`\\]*\"""", re.DOTALL)


def quoted(text):
    """`text` as one word, without the `!` of a history expansion.

    In double quotes: bash takes 20 s for 200,000 single quotes inside of single ones, here 0.3 s.
    """
    return '"' + _SPECIAL.sub(r"\\\g<0>", text).replace("!", '"\\!"') + '"'


class Wanted:
    """What one command needs of its shell.

    `stdin` is the path that it reads from. `streams` maps 1 and 2 to the path that they are opened
    from, or to None where the user has chosen (`KEPT`). `forget` are descriptors that were kept and
    are to be closed. `posix`: the user's own POSIX mode is on.
    """

    def __init__(
        self, number, text, stdin, streams, forget=(), posix=False, last_status=0, errexit=False
    ):
        self.number = number
        self.text = text
        self.stdin = stdin
        self.streams = streams
        self.forget = forget
        self.posix = posix
        self.last_status = last_status
        self.errexit = errexit
        self.directory = None
        """Absolute, or None."""
        self.environment = {}


def lines(mark, wanted):
    """What is read for a command: an assignment, and a line that reports, whatever became of it."""
    return "__sandbox_prompt=${PROMPT_COMMAND-} __sandbox_text=%s PROMPT_COMMAND=%s\n%s\n" % (
        quoted(_evaluated(wanted)),
        quoted(_prompt_command(mark, wanted)),
        _told("%s,rest,%d,${__sandbox_end-},$?,$-,${POSIXLY_CORRECT+p}," % (mark, wanted.number)),
    )


def _told(word):
    """Makes bash write `word` to its stderr: it complains of a file that is not there."""
    return 'if { [[ 1 ]]; } <"/%s"; then [[ 1 ]]; fi' % word


def begun_pattern(mark):
    """Matches what is told when a command is about to begin; group 1 is its number."""
    return re.compile(rb"/%s,begin,(\d+),[^\n]*\n" % mark.encode("ascii"))


def rest_pattern(mark):
    """Matches what is told when the shell is done with a command: its number, the value of
    `__sandbox_end`, `$?`, `$-`, and `p` in POSIX mode."""
    return re.compile(
        rb"/%s,rest,(\d+),([^,\n]*),(\d+),([^,\n]*),(p?),[^\n]*\n" % mark.encode("ascii")
    )


def _evaluated(wanted):
    """The text of the `eval`: what makes the streams the command's, then the user's own."""
    moves = [">%s 2>%s" % (_source(wanted, 1), _source(wanted, 2))]
    moves += ["%d>&-" % fd for fd in wanted.forget]
    names = ["__sandbox_text", "__sandbox_prompt"] + ([] if wanted.posix else ["POSIXLY_CORRECT"])
    begun = "\\unset %s; __sandbox_end=%d" % (" ".join(names), wanted.number)
    if wanted.last_status:
        # As the first of two, it neither ends a shell with `set -e` nor runs the ERR trap.
        begun = "__sandbox_status() { \\return %d; }; %s; __sandbox_status && [[ 1 ]]" % (
            wanted.last_status,
            begun,
        )
    # On one line, which bash has read before it writes to the user's stderr (`set -v`).
    return "\\exec %s; { %s; } >/dev/null 2>&1\n%s" % (" ".join(moves), begun, wanted.text)


def _prompt_command(mark, wanted):
    # What these steps themselves write, or a DEBUG trap before them, belongs to nobody.
    return "PROMPT_COMMAND=$__sandbox_prompt\n%s\n{ %s\n} <%s >/dev/null 2>&1" % (
        _told("%s,begin,%d," % (mark, wanted.number)),
        _in_directory(wanted, _with_environment(wanted, _run(wanted))),
        quoted(wanted.stdin),
    )


def _run(wanted):
    # Without the `!` the user's ERR trap would run once more, for the `eval`. With `set -e` on, a
    # `!` would turn that off inside. PIPESTATUS has the status as it was before the `!`.
    # The number before the status is there only if the text of the `eval` has put it there.
    run = '%s%s\\eval "$__sandbox_text"' % (
        "" if wanted.errexit else "! ",
        "" if wanted.environment else _on(wanted),
    )
    end = "{ __sandbox_end=${__sandbox_end-}-$PIPESTATUS; } >&- 2>&-"
    steps = "\n".join([run, end, _keep_what_was_chosen(wanted)])
    if not may_be_cut_off(wanted.text):
        return steps
    return (
        'if %s -n -O extglob <<<"$__sandbox_text" 2>%s; then\n%s\nelse __sandbox_end=%d-2; fi'
        % (
            "/bin/bash --noprofile --norc",
            _source(wanted, 2),
            steps,
            wanted.number,
        )
    )


def may_be_cut_off(text):
    """Whether a `$(` may lack its end: bash 5.2 does not recover from that in an `eval`.

    It aborts in a later substitution. Such a text is parsed by another bash first, which costs 2
    ms; parentheses that match outside of quotes save it.
    """
    if not any(start in text for start in ("$(", "<(", ">(")):
        return False
    bare = _QUOTED.sub("", text)
    return bare.count("(") != bare.count(")") or "'" in bare or bare.count('"') % 2 == 1


def _with_environment(wanted, run):
    if not wanted.environment:
        return run
    export = "%s\\export %s" % (
        _on(wanted),
        " ".join("%s=%s" % (name, quoted(value)) for name, value in wanted.environment.items()),
    )
    # A second time for what bash has to say of it: the first would show in a trace (`set -x`).
    return "if %s; then\n%s\nelse %s 2>%s; __sandbox_end=%d-1%s; fi" % (
        export,
        run,
        export,
        _source(wanted, 2),
        wanted.number,
        _off(wanted),
    )


def _in_directory(wanted, run):
    if wanted.directory is None:
        return run
    where = quoted(wanted.directory)
    return "if \\builtin cd -- %s 2>%s; [[ . -ef %s ]]; then\n%s\nelse __sandbox_end=%d-126; fi" % (
        where,
        _source(wanted, 2),
        where,
        run,
        wanted.number,
    )


def _on(wanted):
    """Before a special builtin: it is found before functions of its name."""
    return "" if wanted.posix else "POSIXLY_CORRECT=y "


def _off(wanted):
    """Ends the POSIX mode that a special builtin before has begun."""
    return "" if wanted.posix else "; \\unset POSIXLY_CORRECT"


def _source(wanted, fd):
    path = wanted.streams[fd]
    return "&%d" % KEPT[fd] if path is None else quoted(path)


def _keep_what_was_chosen(wanted):
    """Keep stdout and stderr where they are no longer what this command was given."""
    steps = []
    for fd, kept in KEPT.items():
        now = "/proc/self/fd/%d" % _LOOK[fd]
        given = quoted(wanted.streams[fd] or "/proc/self/fd/%d" % kept)
        move = "%d>&%d" % (kept, _LOOK[fd])
        # A failing `exec` would end the shell (`ulimit -n 20`): it is tried on a group before.
        steps.append(
            "if [[ %s -ef %s && ! %s -ef %s ]] && { [[ 1 ]]; } %s; then %s\\exec %s%s; fi"
            % (now, now, now, given, move, _on(wanted), move, _off(wanted))
        )
    return "{ %s; } %d>&2 2>&- %d>&1 >&-" % ("; ".join(steps), _LOOK[2], _LOOK[1])
