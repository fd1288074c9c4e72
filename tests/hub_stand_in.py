"""A stand-in of the hub's HTTP interface, as far as huggingface_hub and transformers use it: repositories with commits.

Built after what huggingface_hub 2.4 sends and reads. Files that are safetensors or parquet go by Git LFS, in its basic
transfer. No Xet, no pull requests, no branches but main; tags are set by the tests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_standin"
BY_LFS = (".safetensors", ".parquet", ".bin")
API = re.compile(r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit)/([^/]+))?(?:/.*)?")
FILE = re.compile(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
BATCH = re.compile(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")


class Repository:
    """Commits by hash, each all its files by path; refs: branches and tags, each a hash."""

    def __init__(self, kind: str, name: str, private: bool = False, gated: bool = False) -> None:
        self.kind, self.name, self.private, self.gated = kind, name, private, gated
        self.refs: dict[str, str] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.created: dict = {}
        self.commit({})

    def commit(self, files: dict[str, bytes]) -> str:
        """A commit on main that adds files; its hash."""
        whole = (self.files("main") if self.refs else {}) | files
        digest = hashlib.sha1(f"{self.name} {len(self.commits)}".encode())
        for path, content in sorted(whole.items()):
            digest.update(path.encode() + content)
        self.refs["main"] = digest.hexdigest()
        self.commits[digest.hexdigest()] = whole
        return digest.hexdigest()

    def resolve(self, revision: str) -> str | None:
        found = self.refs.get(revision, revision)
        return found if found in self.commits else None

    def files(self, revision: str) -> dict[str, bytes]:
        return self.commits[self.resolve(revision) or ""]


def blob(content: bytes) -> str:
    """Git's hash of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if path.endswith(BY_LFS) else blob(content)


class HubStandIn:
    """The server, on a port of its own. requests: (method, path) of all that was asked; uploaded: LFS objects."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.uploaded: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def add(self, kind: str, name: str, files: dict[str, bytes], **options: bool) -> Repository:
        """A repository ("models", "datasets", "spaces") that is already there."""
        self.repositories[kind, name] = Repository(kind, name, **options)
        self.repositories[kind, name].commit(files)
        return self.repositories[kind, name]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def handler(hub: HubStandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def reply(self, status: int, content: object = b"", **headers: str) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def refuse(self, status: int, code: str) -> None:
            self.reply(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

        def read(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        @property
        def may_write(self) -> bool:
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def repository(self, kind: str | None, name: str) -> Repository | None:
            """The one that is asked for, where the caller may see it; else the refusal is sent."""
            found = hub.repositories.get((kind or "models", name))
            if found is None or (found.private and not self.may_write):
                self.refuse(404 if self.may_write else 401, "RepoNotFound")
                return None
            return found

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            hub.requests.append((self.command, path))
            if called := API.fullmatch(path):
                self.tell(*called.groups())
            elif called := FILE.fullmatch(path):
                self.send_file(*called.groups())
            else:
                self.refuse(404, "NotFound")

        do_HEAD = do_GET

        def tell(self, kind: str, name: str, what: str | None, revision: str | None) -> None:
            if (found := self.repository(kind, name)) is None:
                return None
            commit = found.resolve(unquote(revision or "main"))
            if commit is None:
                return self.refuse(404, "RevisionNotFound")
            files = found.files(commit)
            if what == "tree":
                return self.reply(200, [entry(path, content) for path, content in files.items()])
            siblings = [{"rfilename": path} for path in files]
            return self.reply(200, {"id": name, "sha": commit, "private": found.private, "siblings": siblings, "tags": []})

        def send_file(self, kind: str | None, name: str, revision: str, path: str) -> None:
            if (found := self.repository(kind, name)) is None:
                return None
            if found.gated and not self.may_write:
                return self.refuse(401, "GatedRepo")
            commit = found.resolve(unquote(revision))
            if commit is None:
                return self.refuse(404, "RevisionNotFound")
            content = found.files(commit).get(unquote(path))
            if content is None:
                return self.reply(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            return self.reply(200, content, ETag=f'"{etag(path, content)}"', X_Repo_Commit=commit)

        def do_PUT(self) -> None:
            content, oid = self.read(), self.path.rpartition("/")[2]
            hub.requests.append((self.command, self.path))
            if hashlib.sha256(content).hexdigest() != oid:
                return self.refuse(400, "WrongContent")
            hub.uploaded[oid] = content
            return self.reply(200)

        def do_POST(self) -> None:
            path, body = urlsplit(self.path).path, self.read()
            hub.requests.append((self.command, path))
            if path == "/api/validate-yaml":
                return self.judge(json.loads(body)["content"])
            if not self.may_write:
                return self.reply(401, {"error": "Invalid username or password."})
            if path == "/api/repos/create":
                return self.create(json.loads(body))
            if called := BATCH.fullmatch(path):
                return self.batch(json.loads(body)["objects"])
            called = API.fullmatch(path)
            found = self.repository(called[1], called[2]) if called else None
            if found is None:
                return None
            if called[3] == "preupload":
                return self.preupload(found, json.loads(body)["files"])
            return self.commit(found, [json.loads(line) for line in body.splitlines()])

        def judge(self, card: str) -> None:
            """The hub reads a card's header before it takes it."""
            try:
                header = yaml.safe_load(card.split("---\n")[1])
                wrong = [] if isinstance(header, dict) else ["no mapping"]
            except (yaml.YAMLError, IndexError) as error:
                wrong = [str(error)]
            self.reply(400 if wrong else 200, {"errors": [{"message": message} for message in wrong], "warnings": []})

        def create(self, asked: dict) -> None:
            kind, name = f"{asked.get('type', 'model')}s", f"{asked['organization']}/{asked['name']}"
            if (kind, name) in hub.repositories:
                return self.reply(409, {"error": "You already created this repo", "url": f"{hub.address}/{name}"})
            made = hub.repositories[kind, name] = Repository(kind, name, asked.get("visibility") == "private")
            made.created = asked
            return self.reply(200, {"url": f"{hub.address}/{'' if kind == 'models' else kind + '/'}{name}", "name": name})

        def batch(self, objects: list[dict]) -> None:
            actions = []
            for each in objects:
                known = {} if each["oid"] in hub.uploaded else {"upload": {"href": f"{hub.address}/lfs/{each['oid']}"}}
                actions.append({**each, **({"actions": known} if known else {})})
            self.reply(200, {"transfer": "basic", "objects": actions})

        def preupload(self, found: Repository, files: list[dict]) -> None:
            there = found.files("main")
            modes = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(BY_LFS) else "regular",
                    "shouldIgnore": False,
                    "oid": etag(each["path"], there[each["path"]]) if each["path"] in there else None,
                }
                for each in files
            ]
            self.reply(200, {"files": modes})

        def commit(self, found: Repository, lines: list[dict]) -> None:
            files = {}
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.uploaded[value["oid"]]
            made = found.commit(files)
            self.reply(200, {"commitUrl": f"{hub.address}/{found.name}/commit/{made}", "commitOid": made, "success": True})

    return Handler


def entry(path: str, content: bytes) -> dict:
    """A file as the tree's listing names it."""
    told = {"type": "file", "path": path, "size": len(content), "oid": blob(content)}
    if path.endswith(BY_LFS):
        told["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return told
