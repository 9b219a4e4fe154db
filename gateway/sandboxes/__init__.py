"""The rules of a sandbox's life. No Flask, no docker SDK, no SQL text.

service.py       create, show, list, delete; the lease that a client holds while connected
removal.py       the one way a sandbox ends
expiry.py        which sandboxes are idle for too long, and their removal
reconcile.py     what the engine has against what the store says
housekeeping.py  when these run, and in which worker
"""
