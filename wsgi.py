"""The application, for any WSGI server: `gunicorn wsgi:app`."""

from marketplace.app import create_app

app = create_app()
