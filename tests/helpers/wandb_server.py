"""As much of W&B's server as saving a report needs, on this machine alone."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ME = "somebody"
KEY = "a" * 40
PROJECT = {"id": "p", "name": "xmdpt", "entityName": ME, "createdAt": "2026-01-01"}
PROJECT |= {"isBenchmark": False, "user": None}


class Server(ThreadingHTTPServer):
    """Keeps the views that it was sent: id -> the variables of the last request."""

    views: dict[str, dict[str, Any]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        if "upsertView" in query:
            number = given["id"] or f"view{len(self.views)}"
            self.views[number] = given
            project = {"id": "p", "name": given["projectName"], "entityName": given["entityName"]}
            view = {"id": number, "name": given["name"], "displayName": given["displayName"]}
            view |= {"description": "", "project": project, "spec": given["spec"]}
            return {"upsertView": {"view": view, "inserted": given["id"] is None}}
        if "ProjectInternalId" in query:
            known = given["projectName"] == PROJECT["name"]
            return {"project": {"id": "p", "internalId": "7"} if known else None}
        if "GetProjects" in query:
            page = {"endCursor": "c", "hasNextPage": False}
            return {"models": {"edges": [{"node": PROJECT, "cursor": "c"}], "pageInfo": page}}
        viewer = {"id": "u", "entity": ME, "username": ME, "email": "", "flags": "{}"}
        return {"viewer": viewer | {"teams": {"edges": []}}}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_HEAD(self) -> None:
        self._send(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            asked = json.loads(body)
        except ValueError:  # telemetry
            return self._send(b"{}")
        data = self.server.answer(asked["query"], asked.get("variables") or {})
        return self._send(json.dumps({"data": data}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def wandb_server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.views = {}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
