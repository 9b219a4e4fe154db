"""The WSGI entry point: `gunicorn -k gevent wsgi:app`, or `./start.sh`, which does all the rest."""

from gevent import monkey

monkey.patch_all()

from gateway.app import create_app  # noqa: E402  (nothing may be imported before the patch)

app = create_app()
