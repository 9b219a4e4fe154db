"""`sgw`, the command line. Each module is imported when one of its commands is called, and httpx2
when the gateway is asked: `sgw --help` starts in the time of click."""
