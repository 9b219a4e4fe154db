"""The rules of running commands. No Flask, no docker SDK, no SQL text."""
