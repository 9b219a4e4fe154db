"""The client for programs of asyncio: `AsyncGateway` and what it leads to."""
