"""What the rules need of a container engine, and Docker's way of giving it.

`interface` says what is needed; `docker_engine` is the only place that imports the docker SDK.
"""
