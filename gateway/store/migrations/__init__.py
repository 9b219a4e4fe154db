"""From the tables of an earlier version to those of now. What is here is imported only when a
store has to be migrated.

A new revision: a file in `versions` with the next number, `HEAD` in `gateway.store.revision`, and
the tables in `gateway.store.tables`. Revisions import nothing that can change after them; those
that have been released are not edited.
"""
