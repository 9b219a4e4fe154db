"""The login shell of a terminal, as a command."""

_START = r"""
__path=$PATH __given=$(export -p)
if [ -n "${BASH_VERSION-}" ]; then
    set +o posix
    shopt -u inherit_errexit
    [ "${HISTFILE-}" != ~/.sh_history ] || HISTFILE=~/.bash_history
fi
unset ENV POSIXLY_CORRECT
[ ! -r /etc/profile ] || . /etc/profile
__system=$PATH
eval "$__given"
unset ENV POSIXLY_CORRECT
__add() {
    case ":$PATH:$__usual" in *":$1:"*) ;; *) [ -z "$1" ] || PATH=${PATH:+$PATH:}$1 ;; esac
}
__each() {
    set -- "$1:" "$2"
    while [ -n "$1" ]; do "$2" "${1%%:*}"; set -- "${1#*:}" "$2"; done
}
__usual=:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/games:/usr/games:
__each "$__system" __add
if [ -z "${BASH_VERSION-}" ] || [ ! -r ~/.bash_profile ] && [ ! -r ~/.bash_login ]; then
    [ ! -r ~/.profile ] || . ~/.profile
elif [ -r ~/.bash_profile ]; then . ~/.bash_profile; else . ~/.bash_login; fi
if [ "$PATH" != "$__path" ]; then
    __system=$PATH PATH= __usual=
    __each "$__system" __add
fi
unset __path __given __system __usual
unset -f __add __each
exec 9<&-
"""
"""What the shell reads first: what a login shell reads, and in its order, but for one thing.
/etc/profile sets PATH anew, and with it what the image and the sandbox's user have set would be
lost. All that was exported gets its value back; directories that the system adds to the usual ones
are appended. The user's own files come after that, as at any login, and each directory is named
once."""

LOGIN_SHELL = """
exec 9<<'__START__'
%s
__START__
: "${SHELL:=/bin/sh}"
case $SHELL in
    */bash) ENV=/dev/fd/9 exec "$SHELL" --posix -l -i ;;
    */sh | */dash | */ash) ENV=/dev/fd/9 exec "$SHELL" -i ;;
    *) exec 9<&-; exec "$SHELL" -l ;;
esac
""" % _START.strip()
"""In its POSIX mode a bash that is a login shell reads ENV alone (bash(1), INVOCATION); what it
reads there takes it out of that mode. `logout`, `shopt login_shell` and ~/.bash_logout are then
those of a login shell. Others read ENV whenever they are interactive (POSIX, sh)."""
