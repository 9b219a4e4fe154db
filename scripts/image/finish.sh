#!/bin/sh
# The default image needs nothing more. A template has a script of its own in its folder.
