"""As much of W&B's server as runs and reports need, on this machine alone."""

import gzip
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
    """Keeps what it was sent: reports and artifacts by id, lines of histories, names of files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.views: dict[str, dict[str, Any]] = {}
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.files: list[str] = []
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.used: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data for a GraphQL query with its variables."""
        for name, reply in {
            "mutation upsertView": self._view,
            "mutation UpsertBucket": self._run,
            "mutation CreateRunFiles": self._places,
            "ProjectInternalId": self._project,
            "GetProjects": self._projects,
            "ServerFeaturesQuery": lambda _: {"serverInfo": {"features": []}},
            "RunResumeStatus": lambda _: {"model": None},
            "query ArtifactType(": lambda _: {"project": {"artifact": None}},
            "query ArtifactByID": self._artifact,
            "mutation CreateArtifact ": self._make,
            "mutation UseArtifact": self._use,
        }.items():
            if name in query:
                return reply(given)
        viewer = {"id": "u", "entity": ME, "username": ME, "email": "", "flags": "{}"}
        return {"viewer": viewer | {"teams": {"edges": []}}}

    def _view(self, given: dict[str, Any]) -> dict[str, Any]:
        number = given["id"] or f"view{len(self.views)}"
        self.views[number] = given
        project = {"id": "p", "name": given["projectName"], "entityName": given["entityName"]}
        view = {"id": number, "name": given["name"], "displayName": given["displayName"]}
        view |= {"description": "", "project": project, "spec": given["spec"]}
        return {"upsertView": {"view": view, "inserted": given["id"] is None}}

    def _run(self, given: dict[str, Any]) -> dict[str, Any]:
        self.histories.setdefault(given["name"], [])
        project = {"id": "p", "name": PROJECT["name"], "entity": {"id": "e", "name": ME}}
        run = {"id": "b", "name": given["name"], "displayName": given["displayName"]}
        run |= {"description": "", "config": "{}", "sweepName": None, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": run | {"project": project}, "inserted": True}}

    def _make(self, given: dict[str, Any]) -> dict[str, Any]:
        number = f"artifact{len(self.artifacts)}"
        self.artifacts[number] = given["input"]
        made = {"id": number, "state": "COMMITTED", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": made}}

    def _use(self, given: dict[str, Any]) -> dict[str, Any]:
        self.used.append(given["input"]["artifactID"])
        return {"useArtifact": {"artifact": {"id": self.used[-1]}}}

    def _artifact(self, given: dict[str, Any]) -> dict[str, Any]:
        about = self.artifacts[given["id"]]
        project = {"id": "p", "internalId": "7", "name": PROJECT["name"], "entity": {"name": ME}}
        found = {
            "__typename": "ArtifactSequence",
            "id": "s",
            "name": about["artifactCollectionName"],
        }
        found |= {"project": project}
        answer = {"__typename": "Artifact", "id": given["id"], "artifactSequence": found}
        answer |= {"artifactType": {"name": about["artifactTypeName"]}, "state": "COMMITTED"}
        answer |= {"versionIndex": 0, "ttlDurationSeconds": -1, "ttlIsInherited": True, "tags": []}
        answer |= {"size": 1, "digest": about["digest"], "fileCount": 1, "aliases": []}
        empty = ("description", "metadata", "historyStep", "commitHash", "updatedAt")
        return {"artifact": answer | {"createdAt": "2026-01-01"} | dict.fromkeys(empty)}

    def _places(self, given: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/up/{name}"} for name in given["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}

    def _project(self, given: dict[str, Any]) -> dict[str, Any]:
        known = given["projectName"] == PROJECT["name"]
        return {"project": {"id": "p", "internalId": "7"} if known else None}

    def _projects(self, _: dict[str, Any]) -> dict[str, Any]:
        page = {"endCursor": "c", "hasNextPage": False}
        return {"models": {"edges": [{"node": PROJECT, "cursor": "c"}], "pageInfo": page}}

    def stream(self, path: str, content: dict[str, Any]) -> None:
        """Keep lines of a run's history, posted to /files/ENTITY/PROJECT/RUN/file_stream."""
        lines = content.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
        self.histories[path.split("/")[4]] += [json.loads(line) for line in lines]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().strip(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body

    def _send(self, content: bytes = b"{}") -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self._send()

    def do_PUT(self) -> None:
        self._body()
        self.server.files.append(self.path.removeprefix("/up/"))
        self._send()

    def do_POST(self) -> None:
        try:
            asked = json.loads(self._body())
        except ValueError:  # telemetry, in a format of its own
            return self._send()
        if "query" in asked:
            data = self.server.answer(asked["query"], asked.get("variables") or {})
            return self._send(json.dumps({"data": data}).encode())
        if self.path.endswith("/file_stream"):
            self.server.stream(self.path, asked)
        return self._send()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def wandb_server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
