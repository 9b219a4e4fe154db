"""What the gateway does by itself, at intervals and when the engine or the host change."""
