"""What concerns a process as a whole: its locks, its memory, its jobs, and whose turn it is."""
