"""The sandbox's HTTP server: loopback only, threads, HTTP/1.1, standard library."""

import json
import logging
import os
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from marketplace.payments.sandbox import pages
from marketplace.payments.sandbox.api import Api, Reply, Request, reply_json
from marketplace.payments.sandbox.clock import Clock
from marketplace.payments.sandbox.control import Control
from marketplace.payments.sandbox.faults import Refused
from marketplace.payments.sandbox.store import Store

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
BODY_MAX = 1_000_000
PAGE_PATH = "/c/pay/"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Sandbox(ThreadingHTTPServer):
    """The server with its store and clock."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__((HOST, port), Handler)
        self.base_url = f"http://{HOST}:{self.server_port}"
        self.store = Store(folder)
        self.clock = Clock(self.store, self.base_url)
        self.api = Api(self.store, self.base_url)
        self.control = Control(self.store, self.clock, self.base_url)
        self.stopping = threading.Event()

    def serve(self) -> None:
        """Answer until stopped."""
        self.clock.start()
        try:
            self.serve_forever(poll_interval=0.2)
        finally:
            self.stopping.set()
            self.clock.stopping.set()
            self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "DuebillSandbox"
    sys_version = ""
    timeout = 75
    # One write a reply: headers and body sent apart wait 40 ms for each other.
    wbufsize = 65_536
    disable_nagle_algorithm = True

    @property
    def sandbox(self) -> Sandbox:
        """The server this connection belongs to."""
        return cast(Sandbox, self.server)

    def do_GET(self) -> None:
        """Answer a read."""
        self._handle()

    def do_POST(self) -> None:
        """Answer a change."""
        self._handle()

    def do_DELETE(self) -> None:
        """Answer that nothing is deleted here."""
        self._handle()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: requests are kept in the store."""

    def _handle(self) -> None:
        url = urlsplit(self.path)
        try:
            self._check_host()
            body = self._read_body()
            if url.path.startswith("/sandbox/"):
                self._send(reply_json(200, self._control(url.path.removeprefix("/sandbox/"), body)))
            elif url.path.startswith(PAGE_PATH):
                self._page(url.path.removeprefix(PAGE_PATH), body)
            elif url.path == "/healthz":
                self._send(reply_json(200, {"ok": True}))
            else:
                self._send(self.sandbox.api.answer(self._request(url.path, url.query, body)))
        except Refused as refused:
            self._send(reply_json(refused.status, refused.body()))
        except Exception as error:  # whatever is wrong with the sandbox, the caller gets an answer
            log.error("%s %s: %r", self.command, self.path, error)
            self._send(reply_json(500, {"error": {"type": "api_error", "message": str(error)}}))

    def _check_host(self) -> None:
        """Answer only to loopback names: a page elsewhere must not reach in by rebinding its own name."""
        name = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host")
        if name not in {HOST, "localhost"}:
            raise Refused(403, "The sandbox answers on loopback only.")

    def _read_body(self) -> str:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError as error:
            raise Refused(400, "Content-Length is not a number.") from error
        if not 0 <= length <= BODY_MAX:
            self.close_connection = True
            raise Refused(413, "The body is too large.")
        try:
            return self.rfile.read(length).decode()
        except UnicodeDecodeError as error:
            raise Refused(400, "The body is not UTF-8.") from error

    def _request(self, path: str, query: str, body: str) -> Request:
        scheme, _, secret = (self.headers.get("Authorization") or "").partition(" ")
        return Request(
            self.command, path, query, body, secret if scheme == "Bearer" else "",
            self.headers.get("Stripe-Account") or "", self.headers.get("Idempotency-Key"),
        )  # fmt: skip

    def _control(self, name: str, body: str) -> Any:
        params: Any = {}
        if self.command == "POST":
            if not (self.headers.get("Content-Type") or "").startswith("application/json"):
                raise Refused(415, "Knobs take JSON.")
            params = json.loads(body or "{}")
        if not isinstance(params, dict):
            raise Refused(400, "A JSON object is expected.")
        return self.sandbox.control.answer(name, params)

    def _page(self, session_id: str, body: str) -> None:
        if self.command == "POST":
            outcome = (parse_qs(body).get("outcome") or [""])[0]
            status, html, onward = pages.pay(self.sandbox.store, self.sandbox.base_url, session_id, outcome)
        else:
            (status, html), onward = pages.show(self.sandbox.store, session_id), ""
        headers = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store",
                   "Content-Security-Policy": PAGE_POLICY}  # fmt: skip
        if onward:
            headers["Location"] = onward
        self._send(Reply(status, html.encode(), headers=headers))

    def _send(self, reply: Reply) -> None:
        if reply.suffer == "timeout_after":
            self.sandbox.stopping.wait(reply.seconds)
        if reply.suffer in {"timeout_after", "reset_before"}:
            self._reset()
            return
        self.send_response(reply.status)
        for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.suffer == "reset_mid_body":
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.wfile.flush()
            self._reset()
            return
        self.wfile.write(reply.body)
        self.wfile.flush()

    def _reset(self) -> None:
        """Break the connection without a goodbye."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
