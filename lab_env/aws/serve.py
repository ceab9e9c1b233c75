"""The process of the embedded account: moto's server on a free port of 127.0.0.1.

Run as a script with a folder, into which it writes the port when it listens.
"""

import logging
import os
import sys


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

    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    os.environ["MOTO_PORT"] = str(server.server_port)
    partly = os.path.join(folder, "port.part")
    with open(partly, "w", encoding="ascii") as file:
        file.write(str(server.server_port))
    os.replace(partly, os.path.join(folder, "port"))  # a reader sees all of it or nothing
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
