"""Who asks: API keys, access tokens of single sandboxes, and what either may do.

Rules only. `gateway.middleware.authentication` applies them to requests; who owns a
sandbox is told by the store.
"""
