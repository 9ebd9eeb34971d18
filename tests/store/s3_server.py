"""An S3 server on loopback, and what it was asked."""

import threading
import urllib.request
from contextlib import contextmanager

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

BUCKET = "candles"


class _Quiet(MotoRequestHandler):
    def log_request(self, *_):
        pass


class S3Server:
    """Holds one bucket; ``asked`` are method, path and If-None-Match of every request."""

    def __init__(self):
        self.asked = []
        self._app = DomainDispatcherApplication(create_backend_app)
        self._deciding = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def options(self):
        """What reaches it, as storage options and as variables of the environment."""
        return {
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    def _answer(self, environ, start_response):
        self.asked.append(
            (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_IF_NONE_MATCH"))
        )
        with self._deciding:  # as S3 does: moto looks and puts in two steps
            return self._app(environ, start_response)

    def ask(self, method, path, body=None):
        """One request with a name on it, which is all that the server checks."""
        headers = {"Authorization": "AWS somebody:secret"}
        urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers, method=method)).close()

    def serve(self):
        self._server.serve_forever(poll_interval=0.02)

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def s3_server():
    server = S3Server()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        server.ask("PUT", f"/{BUCKET}")
        yield server
    finally:
        server.stop()
        thread.join(10)
