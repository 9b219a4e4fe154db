"""How sandboxes come about: room for them, their containers, and the pool."""
