"""TCP servers in the sandbox: which there are, and connections to them."""
