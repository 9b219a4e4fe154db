"""Tables and queries: the only place that imports SQLAlchemy.

The store knows what neither the engine nor the agents can: who is connected, since when a sandbox
is idle, and how it ended. Losing it loses no sandbox (see
`gateway.sandboxes.upkeep.reconcile_with_engine`).
"""
