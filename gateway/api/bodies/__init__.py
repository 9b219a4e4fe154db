"""Bodies of requests and answers that are passed on as they come, for every surface over HTTP.

What is said in them, and how errors look, is each surface's own.
"""
