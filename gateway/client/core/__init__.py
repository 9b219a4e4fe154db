"""What the client does, without input and output: calls are generators that yield steps (a request,
a pause, the next bytes of an answer) and get back what came of them. `sync` and `aio` carry the
steps out, so that both behave alike, and tests need no network."""
