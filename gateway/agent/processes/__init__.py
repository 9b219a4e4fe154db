"""Commands and their processes: start, input, output, signals, end. Nothing here knows links."""
