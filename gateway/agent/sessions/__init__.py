"""Stateful shells, and the commands that run in them one after the other."""
