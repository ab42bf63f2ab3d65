"""`python -m tests.cashier.django.project.serve wsgi|asgi`: serves, and says its port."""

from __future__ import annotations

import os
import socket
import sys

from tests.web.servers import SERVERS


def main() -> None:
    """Serve on loopback until SIGTERM."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.cashier.django.project.settings"
    from django.core.asgi import get_asgi_application  # noqa: PLC0415  # need settings
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415  # need settings

    is_async = sys.argv[1] == "asgi"
    app = get_asgi_application() if is_async else get_wsgi_application()
    sock = socket.create_server(("127.0.0.1", 0))
    server = SERVERS["uvicorn" if is_async else "waitress"]
    server(app, sock, lambda _stop: print(sock.getsockname()[1], flush=True))  # noqa: T201  # for the test


if __name__ == "__main__":
    main()
