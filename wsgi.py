"""The WSGI entry point: `gunicorn --config python:gateway.gunicorn_config wsgi:app`, or
`./start.sh`, which does all the rest. Without that configuration SANDBOX_REQUIRE refuses nothing;
`/readyz` still says what is not met."""

from gevent import monkey

monkey.patch_all()

from gateway.app import create_app  # noqa: E402  (nothing may be imported before the patch)

app = create_app()
