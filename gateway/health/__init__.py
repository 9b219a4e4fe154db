"""Whether the gateway can serve, and how safe its host is."""
