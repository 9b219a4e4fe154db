"""The WebSocket edge.

endpoint.py     the route, and the guards that run before the upgrade
connection.py   one client: its requests in, its results out
connections.py  all clients of this process: keep-alive, and their end with their sandbox
safe_socket.py  what makes simple-websocket safe: whole writes, bounded reads, a clean end
frames.py       what the frames say (pure)
"""
