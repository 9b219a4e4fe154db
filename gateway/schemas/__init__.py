"""What clients send and get: its models, its JSON, and the encoding of events and results."""
