"""The process of the embedded account: moto's server on a free port of 127.0.0.1.

Run as a script with a folder, into which it writes the port when it listens.
"""

import logging
import os
import sys
from typing import Any

# what a lesson uses, and moto's own interface. Nobody is asked for a login here, and there are
# services (batch, lambda) by which another user of the machine could start containers of hers.
SERVED = frozenset({"ec2", "ecs", "iam", "logs", "ssm", "sts", "moto_api"})


def refuse(environ, start_response):
    """Answer a call of a service that is not served."""
    start_response("501 Not Implemented", [("Content-Type", "text/plain")])
    return [b""]


def main(folder: str) -> None:
    """Serve until killed."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a call would fill the disk
    # what a first call would wait for: the lists of images and instance types
    import moto.ec2.models
    import moto.ecs.models
    import moto.iam.models
    import moto.logs.models
    import moto.ssm.models  # noqa: F401

    def answers(service: Any) -> Any:  # moto calls any WSGI application, and its types say Flask
        return create_backend_app(service) if service in SERVED else refuse

    app = DomainDispatcherApplication(answers)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    os.environ["MOTO_PORT"] = str(server.server_port)
    partly = os.path.join(folder, "port.part")
    with open(partly, "w", encoding="ascii") as file:
        file.write(str(server.server_port))
    os.replace(partly, os.path.join(folder, "port"))  # a reader sees all of it or nothing
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
