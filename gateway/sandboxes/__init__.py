"""The rules of a sandbox's life. No Flask, no docker SDK, no SQL text."""
