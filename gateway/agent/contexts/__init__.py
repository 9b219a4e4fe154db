"""Code contexts: what starts their process, and that process with its kernels."""
