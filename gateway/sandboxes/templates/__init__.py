"""Templates: images that operators have built of a Dockerfile, and that sandboxes are made of.

Here are the rules: what may be built, within which limits, and what becomes of it when something
is killed. How the engine builds is its matter (`gateway.engine`), and what is noted the store's.
"""
