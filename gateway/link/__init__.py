"""The gateway's half of the agent protocol (docs/protocol.md): links, their channels and what uses
them, and how a link is made, and made anew.

Here belongs how something gets to an agent and back, within bounds. What is wanted of it, and what
becomes of the answer, belongs into `gateway.commands`.
"""
