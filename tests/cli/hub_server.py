"""A hub of models on this machine, and the host that it keeps large files on: two servers on 127.0.0.1 that speak as
much of the Hugging Face hub's API as tq and huggingface_hub use, and misbehave as they are told."""

import contextlib
import hashlib
import http.server
import json
import re
import ssl
import threading
import time
import urllib.parse

LFS_FROM = 1000  # bytes; smaller files are git's own


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Repository:
    def __init__(self, files, revisions=None, gated=False, private=False):
        self.files = dict(files)  # path -> bytes
        self.commit = hashlib.sha1(repr(sorted((k, git_sha1(v)) for k, v in self.files.items())).encode()).hexdigest()
        self.revisions = revisions or ["main"]
        self.hashes = {}
        self.gated = gated
        self.private = private

    def hash(self, path):
        """What the file is known by: (hash, whether it is one of LFS)."""
        data = self.files[path]
        lfs = len(data) >= LFS_FROM
        if path not in self.hashes:
            self.hashes[path] = hashlib.sha256(data).hexdigest() if lfs else git_sha1(data)
        return self.hashes[path], lfs

    def sibling(self, path):
        name, lfs = self.hash(path)
        entry = {"rfilename": path, "size": len(self.files[path]), "blobId": git_sha1(self.files[path])}
        if lfs:
            entry["lfs"] = {"sha256": name, "size": len(self.files[path]), "pointerSize": 134}
        return entry

    def tree_entry(self, path):
        name, lfs = self.hash(path)
        entry = {"type": "file", "oid": git_sha1(self.files[path]), "size": len(self.files[path]), "path": path}
        if lfs:
            entry["lfs"] = {"oid": name, "size": len(self.files[path]), "pointerSize": 134}
        return entry


class Hub:
    """with Hub({"org/name": Repository}) as hub: hub.url is for HF_ENDPOINT. What goes wrong is in its fields."""

    def __init__(self, repositories, certificate=None):
        """certificate: PEM file with its key, for https to the hub; the other host speaks http all the same."""
        self.repositories = repositories
        self.certificate = certificate
        self.token = None          # that private and gated repositories want
        self.log = []              # (server, path, headers in lower case)
        self.body_bytes = 0        # of files, sent
        self.fail = []             # statuses to answer file requests with first: 500, (429, {"Retry-After": "1"})
        self.fail_api = []         # the same of questions about repositories
        self.cut_after = None      # bytes of a body after which the connection ends, once a request while > 0
        self.cuts = 0
        self.ignore_ranges = False
        self.wrong_bytes = 0       # so many requests for large files get other bytes
        self.delay = 0.0           # seconds before each 64 KiB of a body
        self.redirect = "other"    # "other" host, "loop", "ftp", "disguised", "https", None: served by the hub itself
        self.redirect_headers = {} # of such an answer, more
        self.links_busy = 0        # so many requests to the other host are answered with 503
        self.login_pages = 0       # so many with a page of something on the way
        self.waiting = None        # see barrier()
        self.api_text = None       # instead of every answer about a repository
        self.links_expire = 0      # so many requests to the other host are answered with 403
        self.shift = False         # ranges come from elsewhere in the file
        self.excess = False        # more bytes than asked for
        self.lock = threading.Lock()
        self.arrived = threading.Condition(self.lock)

    def __enter__(self):
        self.servers = []
        for handler in (self.hub_handler(), self.files_handler()):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
            server.daemon_threads = True
            if self.certificate and not self.servers:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.certificate)
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            self.servers.append(server)
        self.url = f"http{'s' if self.certificate else ''}://127.0.0.1:{self.servers[0].server_port}"
        self.files_url = f"http://127.0.0.1:{self.servers[1].server_port}"
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def barrier(self, n):
        """The next n requests for files of the hub itself are answered when all of them have come."""
        self.waiting = (threading.Barrier(n), threading.Semaphore(n))

    def wait_for_bytes(self, n, seconds=30):
        """Until so many bytes of files have been sent."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.body_bytes >= n, seconds), "nothing was asked for"

    def requests(self, server, part=""):
        with self.lock:
            return [entry for entry in self.log if entry[0] == server and part in entry[1]]

    def forget(self):
        with self.lock:
            self.log.clear()
            self.body_bytes = 0

    # ---- What both servers do ----

    def base(self, which):
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle(self):
                with contextlib.suppress(ConnectionError, ssl.SSLError):  # clients that were killed
                    super().handle()

            def note(self):
                headers = {k.lower(): v for k, v in self.headers.items()}
                with hub.lock:
                    hub.log.append((which, self.path, headers))

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def next_failure(self, failures):
                with hub.lock:
                    failure = failures.pop(0) if failures else None
                if failure is None:
                    return False
                status, headers = failure if isinstance(failure, tuple) else (failure, {})
                self.answer(status, b"busy", **{k.replace("-", "_"): v for k, v in headers.items()})
                return True

            def send_file(self, data, **headers):
                """A body, or a range of it, with what is to go wrong."""
                with hub.lock:
                    if hub.wrong_bytes > 0 and len(data) >= LFS_FROM:
                        hub.wrong_bytes -= 1
                        data = data[:-1] + bytes([data[-1] ^ 1])
                    cut = hub.cut_after if hub.cuts > 0 else None
                    hub.cuts -= cut is not None
                match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                status = 200
                size = len(data)
                if match and not hub.ignore_ranges:
                    begin, end = int(match[1]), int(match[2]) + 1
                    if begin >= size:
                        return self.answer(416, Content_Range=f"bytes */{size}")
                    if hub.shift:
                        begin, end = begin - 1, end - 1
                    data = data[begin:end]
                    status = 206
                    headers["Content_Range"] = f"bytes {begin}-{begin + len(data) - 1}/{size}"
                if hub.excess:
                    data += b"more"
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command == "HEAD":
                    return None
                sent = 0
                with contextlib.suppress(ConnectionError):
                    while sent < len(data):
                        if hub.delay:
                            time.sleep(hub.delay)
                        piece = data[sent:sent + (1 << 16)]
                        if cut is not None:
                            piece = piece[:max(0, cut - sent)]
                        if not piece:
                            self.close_connection = True
                            return None
                        self.wfile.write(piece)
                        sent += len(piece)
                        with hub.arrived:
                            hub.body_bytes += len(piece)
                            hub.arrived.notify_all()
                return None

        return Handler

    # ---- The hub ----

    def hub_handler(self):
        hub = self

        class Handler(self.base("hub")):
            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                self.note()
                path = urllib.parse.urlsplit(self.path).path
                api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?(?:/.*)?", path)
                resolve = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
                if api:
                    return self.api(api[1], api[2], urllib.parse.unquote(api[3] or "main"))
                if resolve:
                    return self.resolve(resolve[1], urllib.parse.unquote(resolve[2]), urllib.parse.unquote(resolve[3]))
                return self.answer(404, b"no such page")

            def may_read(self, name, only_files):
                """Whether it may; has answered otherwise."""
                repository = hub.repositories.get(name)
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                known = hub.token is not None and token == hub.token
                if token and not known:
                    self.answer(401, b"{}", X_Error_Message="Invalid credentials in Authorization header")
                elif repository is None or repository.private and not known:
                    status = 404 if known else 401
                    self.answer(status, b"{}", X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
                elif repository.gated and only_files and token != hub.token:
                    self.answer(401, b"{}", X_Error_Code="GatedRepo",
                                X_Error_Message=f"Access to model {name} is restricted.")
                elif repository.gated == "refused" and only_files:
                    self.answer(403, b"{}", X_Error_Code="GatedRepo", X_Error_Message="Your request awaits a review.")
                else:
                    return repository
                return None

            def known_revision(self, repository, revision):
                if revision in repository.revisions or revision == repository.commit:
                    return True
                self.answer(404, b"{}", X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
                return False

            def api(self, name, kind, revision):
                if self.next_failure(hub.fail_api):
                    return None
                repository = self.may_read(name, only_files=False)
                if repository is None or not self.known_revision(repository, revision):
                    return None
                if hub.api_text is not None:
                    return self.answer(200, hub.api_text)
                paths = sorted(repository.files)
                if kind == "tree":
                    body = [repository.tree_entry(path) for path in paths]
                else:
                    body = {"id": name, "sha": repository.commit, "siblings": [repository.sibling(p) for p in paths]}
                return self.answer(200, json.dumps(body).encode(), Content_Type="application/json")

            def resolve(self, name, revision, path):
                repository = self.may_read(name, only_files=True)
                if repository is None or not self.known_revision(repository, revision):
                    return None
                if path not in repository.files:
                    return self.answer(404, b"{}", X_Error_Code="EntryNotFound", X_Error_Message="Entry not found")
                if hub.waiting and hub.waiting[1].acquire(blocking=False):
                    hub.waiting[0].wait(timeout=30)
                if self.next_failure(hub.fail):
                    return None
                digest, lfs = repository.hash(path)
                headers = {"X_Repo_Commit": repository.commit, "ETag": f'"{digest}"'}
                if not lfs or hub.redirect is None:
                    return self.send_file(repository.files[path], **headers)
                to = {"other": f"{hub.files_url}/{name}/{digest}?signature=1", "loop": hub.url + self.path,
                      "ftp": "ftp://127.0.0.1/x", "disguised": f"{hub.url}\\@{hub.files_url[7:]}/x",
                      "https": "https://files.invalid/x"}[hub.redirect]
                headers |= {name.replace("-", "_"): value for name, value in hub.redirect_headers.items()}
                return self.answer(302, b"", Location=to, X_Linked_ETag=f'"{digest}"',
                                   X_Linked_Size=str(len(repository.files[path])), **headers)

        return Handler

    # ---- The host of large files ----

    def files_handler(self):
        hub = self

        class Handler(self.base("files")):
            def do_CONNECT(self):  # as a proxy
                self.note()
                self.answer(403, b"no tunnel")

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                self.note()
                with hub.lock:
                    expired = hub.links_expire > 0
                    hub.links_expire -= expired
                    busy = hub.links_busy > 0
                    hub.links_busy -= busy
                    page = hub.login_pages > 0
                    hub.login_pages -= page
                if busy:
                    return self.answer(503, b"busy")
                if page:
                    return self.answer(200, b"<html>log in</html>")
                if expired:
                    return self.answer(403, b"expired")
                digest = urllib.parse.urlsplit(self.path).path.rsplit("/", 1)[1]
                for repository in hub.repositories.values():
                    for path, data in repository.files.items():
                        if repository.hash(path)[0] == digest:
                            return self.send_file(data)
                return self.answer(404, b"none")

        return Handler
