"""Programs that people really run in sandboxes, driven through ports: Jupyter's server, Vite with a
browser, Flask. Their packages come to this machine by pip and npm, and into the sandbox as
archives, so that it needs no network."""
