"""What gateway and agent must agree on, byte for byte, and nothing else (docs/protocol.md).

It is sent into sandboxes with the agent: standard library only, Python 3.7 or newer. What is said
on a channel belongs to whoever uses the channel, not here.
"""
