"""What the rules need of a container engine, and Docker's way of giving it.

`interface` says what is needed; only what is in the package `docker` imports the docker SDK.
"""
