"""What a worker process owns: where the parts meet.

Here parts are built and given to each other, and nothing else: what they do belongs into the layers
below.
"""

from gateway.runtime.worker_runtime import Runtime

__all__ = ["Runtime"]
