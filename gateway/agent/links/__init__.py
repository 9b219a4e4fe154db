"""Connections from gateways and the channels on them. Nothing here knows what a channel is for."""
