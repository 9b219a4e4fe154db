# shellcheck shell=bash
# The tests, and once more and alone those that have failed. Needs VENV and say.sh.

# tried_twice PROCESSES PYTEST-ARGUMENT…: does not return. Several processes take the test files in turn;
# -n 0 among the arguments: one does all, once. Ends with pytest's status, and pytest has the last word.
tried_twice() {
  local processes=$1 status=0
  shift
  "$VENV/bin/python" -m pytest \
    --numprocesses "$processes" --dist loadfile --no-loadscope-reorder "$@" || status=$?
  # 1: tests have failed. All else (2 to 5) is no matter of chance.
  if ((status == 1)) && [[ " $* " != *" -n 0 "* ]]; then
    say "pytest: what has failed, once more and alone"
    exec "$VENV/bin/python" -m pytest -p tests.support.second_tries \
      --last-failed --last-failed-no-failures none "$@" -n 0
  fi
  exit "$status"
}
