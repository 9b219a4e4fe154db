"""The WSGI entry point: `gunicorn --config python:gateway.server.gunicorn_config wsgi:app`, or
`./start.sh`, which does all the rest. Without that configuration SANDBOX_REQUIRE refuses nothing;
`/readyz` still says what is not met."""

import gc

from gevent import monkey

if not monkey.is_module_patched("socket"):
    monkey.patch_all()
# What modules make stays. Collecting while they are made finds nothing, a fifth of the time that
# importing takes; frozen, it is not looked at again by each full collection.
gc.disable()

from gateway.app import create_app  # noqa: E402  (nothing may be imported before the patch)
from gateway.process.private_files import create_for_owner_only  # noqa: E402

create_for_owner_only()
app = create_app()

gc.freeze()
gc.enable()
