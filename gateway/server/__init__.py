"""The connections of clients, below the application: reading requests, and ending connections.

What a request means is none of its business; that is for the surfaces above.
"""
