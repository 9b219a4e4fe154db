"""The engine interface on Docker: the only place that imports the docker SDK."""
