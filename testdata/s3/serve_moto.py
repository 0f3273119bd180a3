"""moto's S3 on 127.0.0.1:PORT. It looks at a condition and writes in two steps, with any number of threads; here writes come
one after the other, as a service's conditional writes must seem to."""

import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

moto = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()


def serve(environ, start_response):
    if environ["REQUEST_METHOD"] == "GET":
        return moto(environ, start_response)
    with turn:
        return list(moto(environ, start_response))


run_simple("127.0.0.1", int(sys.argv[1]), serve, threaded=True)
