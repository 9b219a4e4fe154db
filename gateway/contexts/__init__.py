"""Code contexts of sandboxes, for every surface: interpreters that keep their state, and what code
shows in them. What they are inside a sandbox is `gateway.agent.contexts`.
"""
