"""Files of sandboxes: read, written, listed, packed and watched, inside the sandbox as its user.

One implementation for every surface. The sandbox's half is `gateway.agent.files`.
"""
