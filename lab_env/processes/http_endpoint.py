"""A service that answers calls: a small HTTP server around a student's function."""

import json
import socketserver
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab_env.messages import say


class Server(ThreadingHTTPServer):
    """A server with a thread a connection, which has room for a whole class of callers."""

    daemon_threads = True  # a caller that keeps its connection must not keep the service
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without asking DNS for this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)

    def handle_error(self, request, client_address) -> None:
        """Stay quiet when a caller hangs up; what else goes wrong belongs in the log."""
        if not isinstance(sys.exception(), ConnectionError):
            traceback.print_exc()


def serve(service, answer, encode) -> None:
    """Serve ``answer`` on a free port of 127.0.0.1 until ``service`` is asked to stop.

    Args:
        service: the `worker.ServiceContext`; it reports ``url`` once the port is open.
        answer: takes the JSON object of a POST as a dict, returns the reply.
        encode: makes something that JSON knows of what it does not.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # a caller may keep its connection
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            try:
                request = json.loads(self.rfile.read(size))
            except ValueError:
                request = None
            if not isinstance(request, dict):
                self._reply(400, {"error": say("service.http_no_json")})
                return
            try:
                self._reply(200, answer(request))
            except ConnectionError:
                raise  # the caller has gone, there is nobody to tell
            except Exception as error:
                traceback.print_exc()
                service.stumbled(error)
                self._reply(500, {"error": f"{type(error).__name__}: {error}"})

        def _reply(self, status: int, content: object) -> None:
            data = json.dumps(content, default=encode).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Leave the log to the student's own lines."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        service.report(url=f"http://127.0.0.1:{server.server_port}/")
        while service.wait(3600):
            pass
        server.shutdown()
