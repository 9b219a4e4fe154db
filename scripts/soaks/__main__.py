import sys

from .command_line import main

if __name__ == "__main__":  # the soaks' own processes import this as well
    sys.exit(main(sys.argv[1:]))
