"""The rules of a sandbox's life. No Flask, no docker SDK, no SQL text.

options.py, owner.py       what a client may ask for, and whose it is
creation.py, admission.py  a new sandbox, and the room for it
pool.py, containers.py     those that stand ready, and how any is made
service.py, views.py       show, list, change, delete; the lease of whoever uses one
freezing.py                pause and thaw
deadlines.py, expiry.py    when one ends, and that it does
removal.py, endings.py     the one way a sandbox ends, and why
reconcile.py, watch.py     what the engine has against what the store says
adoption.py                a container whose row was lost
lifecycle.py               what happened
readiness.py, posture.py   whether all works, and how safe the host is
housekeeping.py            when these run, and in which worker
"""
