"""Serve the built book on this machine only: python book/tools/serve.py DIRECTORY PORT."""

import signal
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each of them, and never from a stale cache."""

    def log_message(self, *_):
        pass

    def end_headers(self):
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def bind(port: int, handler, tries: int = 50) -> ThreadingHTTPServer:
    """Return a server on the first free port from `port` on."""
    for candidate in range(port, min(port + tries, 65536)):
        try:
            return ThreadingHTTPServer(("127.0.0.1", candidate), handler)
        except OSError:
            print(f"   port {candidate} is taken", flush=True)
    raise SystemExit(f"no free port from {port} on: name another with make book PORT=...")


def end_by_signals() -> None:
    """Let SIGINT and SIGTERM end this process, also where it was started with them ignored, as
    shells start the background jobs of scripts."""

    def end(*_):
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)  # one is enough: the end is not interrupted
        raise KeyboardInterrupt

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, end)


def main(directory: str, port: str) -> None:
    if not (Path(directory) / "index.html").is_file():
        raise SystemExit(f"no book in {directory}: run make book")
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise SystemExit(f"PORT must be a number from 1 to 65535, got {port}")
    ThreadingHTTPServer.allow_reuse_address = True
    try:
        end_by_signals()
        with bind(int(port), partial(Quiet, directory=directory)) as server:
            address = f"http://127.0.0.1:{server.server_port}/"
            print(f"The book is at {address} (Ctrl-C ends it)", flush=True)
            server.serve_forever()
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
