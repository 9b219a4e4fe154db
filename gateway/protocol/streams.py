"""The numbers of a command's streams on its channels, and of clients' offsets."""

STDIN = 0
STDOUT = 1
STDERR = 2
