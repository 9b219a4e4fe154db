"""The gateway's half of the agent protocol: links, their channels, and how a link is made anew.

bundle.py    the agent's source, packed
dial.py      make one link to a container's agent, over any stream
link.py      one link: frames out, frames in, each to its channel
collector.py one command's capped output and exit, put together from its channel
links.py     which link serves which container in this process
incoming.py  what an agent sends, cut into frames and decoded within bounds
redial.py    how soon an agent whose links do not last is dialled again
"""
