"""How sandboxes end: when, why, and what is said of them afterwards."""
