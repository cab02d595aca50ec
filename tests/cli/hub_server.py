"""A small hub for tests/cli/pull.sh: the interface of the Hugging Face hub as far as `jeton pull` uses it, with the faults
of networks on request. The organisation of a repository says how it behaves (good, drop, wrong ...).

Usage: hub_server.py LOG PORTS FIXTURE. Writes "HUB CDN" ports to PORTS; each request is a line of LOG:
    hub|cdn METHOD PATH auth=TOKEN range=RANGE if-range=ETAG proxy=0|1
Large files are given by the hub as redirects to the other port, as the real hub does.
"""

import hashlib
import json
import os
import re
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LOG, PORTS, FIXTURE = sys.argv[1:4]
SIZE = 300000
COMMIT = hashlib.sha1(b"first").hexdigest()
SECOND = hashlib.sha1(b"second").hexdigest()
counts = {}
lock = threading.Lock()


def count(key):
    with lock:
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


def noise(name, size=SIZE):
    out, i = b"", 0
    while len(out) < size:
        out += hashlib.sha256(f"{name} {i}".encode()).digest()
        i += 1
    return out[:size]


def small(path):
    with open(os.path.join(FIXTURE, path), "rb") as f:
        return f.read()


FOLDER = {name: small(name) for name in ("config.json", "model.safetensors")}
FOLDER.update({"tokenizer.json": b"{}", "README.md": b"words", "pytorch_model.bin": noise("bin", 1000)})
GGUF = {
    "model-Q4_K_M.gguf": noise("q4"),
    "model-UD-Q4_K_M.gguf": noise("ud"),
    "model-Q8_0.gguf": noise("q8", 5000),
    "mmproj-model-f16.gguf": noise("mmproj", 5000),
    "Q2_K/model-Q2_K-00001-of-00002.gguf": noise("part 1", 4000),
    "Q2_K/model-Q2_K-00002-of-00002.gguf": noise("part 2", 4000),
    "README.md": b"words",
}
ONE = {"m-Q4_0.gguf": noise("one")}


def files_of(org, repo):
    if repo == "folder":
        return FOLDER
    if repo == "many-GGUF":
        return GGUF
    if org == "escape":
        return {"../../../outside.gguf": b"out", "m-Q4_0.gguf": b"in"}
    if org == "holes":
        return {"m-Q4_0-00001-of-00003.gguf": b"1", "m-Q4_0-00003-of-00003.gguf": b"3"}
    if org == "pickle":
        return {"pytorch_model.bin": b"x", "config.json": b"{}"}
    return ONE


def content(org, repo, path, commit):
    data = files_of(org, repo)[path]
    return noise("changed") if org == "changed" and commit == SECOND else data


def is_large(path):
    return path.endswith((".gguf", ".safetensors", ".bin"))


def sum_of(data, large):
    return hashlib.sha256(data).hexdigest() if large else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def note(self):
        proxied = self.path.startswith("http://")
        url = urlsplit(self.path)
        # As a proxy it gives what the host and port of the address would give.
        self.role = ("cdn" if url.port == cdn.server_port else "hub") if proxied else self.server.role
        self.where = unquote(url.path)
        self.query = parse_qs(url.query)
        auth = self.headers.get("Authorization", "-").replace("Bearer ", "")
        line = f"{self.role} {self.command} {self.where} auth={auth} range={self.headers.get('Range', '-')}"
        line += f" if-range={self.headers.get('If-Range', '-')} proxy={int(proxied)}\n"
        with lock, open(LOG, "a") as f:
            f.write(line)

    def answer(self, status, body=b"", headers=(), length=None):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, value, headers=()):
        self.answer(200, json.dumps(value).encode(), list(headers) + [("Content-Type", "application/json")])

    def refuse(self, status, code, message="refused", headers=()):
        self.answer(status, b"{}", list(headers) + [("X-Error-Code", code), ("X-Error-Message", message)])

    def cut(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.note()
        try:
            self.cdn() if self.role == "cdn" else self.hub()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # The hub.

    def hub(self):
        parts = self.where.strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) == 2:
            return self.answer_json([{"id": "good/one"}, {"id": "good/folder"}])
        if parts[:2] == ["api", "models"]:
            return self.api(parts[2], parts[3], parts[4:])
        if len(parts) > 3 and parts[2] == "resolve":
            return self.resolve(parts[0], parts[1], parts[3], "/".join(parts[4:]))
        self.refuse(404, "RepoNotFound")

    def trouble(self, org, repo):
        """Faults that come before any answer; true when one was given."""
        token = self.headers.get("Authorization", "")
        n = count((org, self.where))
        if org == "good" and repo not in ("one", "folder", "many-GGUF"):
            self.refuse(401, "RepoNotFound")
        elif org == "gated" and token != "Bearer accepted":
            self.refuse(403 if token else 401, "GatedRepo", "Access to model is restricted")
        elif org == "private" and not token:
            self.refuse(401, "RepoNotFound")
        elif org == "private" and token != "Bearer accepted":
            self.answer(401, b"Invalid credentials")
        elif org == "busy" and n < 3:
            self.refuse(429, "", "too many", [("Retry-After", "0")])
        elif org == "patience":
            self.refuse(429, "", "too many", [("Retry-After", "100000")])
        elif org == "date" and n < 2:
            self.refuse(503, "", "soon", [("Retry-After", "Thu, 01 Jan 1998 00:00:00 GMT")])
        elif org == "sick" and n < 3:
            self.answer(500 if n < 2 else 502, b"oh")
        elif org == "dead":
            self.answer(500, b"oh")
        elif org == "headers":
            self.answer(200, b"[]", [("X-Long", "x" * 70000), ("X-More", "y" * 70000), ("X-Most", "z" * 300000)])
        elif org == "flood":
            self.answer(404, b"x" * (8 << 20), [("X-Error-Code", "Other"), ("X-Error-Message", "no")], 1 << 40)
            self.cut()
        elif org == "loop":
            self.answer(302, headers=[("Location", self.path)])
        elif org == "elsewhere":
            self.answer(302, headers=[("Location", "file:///etc/passwd")])
        elif org == "silent":
            self.cut()
        elif org == "moved":
            self.answer(307, headers=[("Location", self.path.replace("/moved/", "/good/"))])
        else:
            return False
        return True

    def api(self, org, repo, rest):
        if self.trouble(org, repo):
            return None
        if rest[:1] == ["refs"]:
            return self.answer_json({"branches": [{"name": "main"}, {"name": "other"}], "tags": []})
        revision = "/".join(rest[1:])
        commit = SECOND if org == "changed" and count(("list", repo)) > 1 else COMMIT
        if revision not in ("main", "other", COMMIT, SECOND):
            return self.refuse(404, "RevisionNotFound")
        if org == "json":
            return self.answer(200, b'{"siblings": [')
        if rest[0] == "tree":
            return self.tree(org, repo, revision, commit)
        if org == "tree":
            return self.answer(404, b"no such page")
        siblings = []
        for path in files_of(org, repo):
            data = content(org, repo, path, commit) if org != "escape" else b"x"
            entry = {"rfilename": path, "size": len(data) if org != "huge" else 1 << 60}
            if is_large(path):
                entry["lfs"] = {"sha256": sum_of(data, True), "size": entry["size"], "pointerSize": 130}
            entry["blobId"] = sum_of(data, False)
            if org == "bare":
                entry = {"rfilename": path}
            siblings.append(entry)
        self.answer_json({"id": f"{org}/{repo}", "sha": commit, "siblings": siblings})

    def tree(self, org, repo, revision, commit):
        paths = list(files_of(org, repo))
        at = int(self.query.get("cursor", ["0"])[0])
        entries = [{"type": "directory", "path": "Q2_K", "size": 0, "oid": "0" * 40}] if at == 0 else []
        for path in paths[at : at + 2]:
            data = content(org, repo, path, commit)
            entry = {"type": "file", "path": path, "size": len(data), "oid": sum_of(data, False)}
            if is_large(path):
                entry["lfs"] = {"oid": sum_of(data, True), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        more = []
        if at + 2 < len(paths):
            host = self.headers["Host"]
            more = [("Link", f'<http://{host}/api/models/{org}/{repo}/tree/{revision}?recursive=true&cursor={at + 2}>; rel="next"')]
        self.answer_json(entries, more)

    def resolve(self, org, repo, revision, path):
        if self.trouble(org, repo):
            return None
        if path not in files_of(org, repo):
            return self.refuse(404, "EntryNotFound")
        if org == "asking" and self.headers.get("Authorization") != "Bearer accepted":
            return self.refuse(403, "GatedRepo", "Access to model is restricted")
        commit = COMMIT if revision in ("main", "other") else revision
        data = content(org, repo, path, commit)
        etag = sum_of(data, is_large(path))
        if org == "badetag":
            etag = "../../../../outside"
        headers = [("X-Repo-Commit", commit)]
        if not is_large(path):
            return self.give(org, path, data, headers + [("ETag", f'"{etag}"')])
        headers += [("X-Linked-Etag", f'"{etag}"'), ("X-Linked-Size", str(len(data))), ("ETag", '"something else"')]
        target = f"http://127.0.0.1:{self.server.cdn_port}/{org}/{repo}/{commit}/{path}?signature=x"
        self.answer(302, b"Found", headers + [("Location", target)])

    # Where the bytes are.

    def cdn(self):
        org, repo, commit, path = self.where.strip("/").split("/", 3)
        data = content(org, repo, path, commit)
        n = count(("cdn", org, self.where))
        if org == "wrong" or (org == "once" and n == 1):
            data = data[:-1] + b"?"
        if org == "expired" and n < 2:
            return self.answer(503, b"")
        self.give(org, path, data, [("ETag", '"' + hashlib.md5(data).hexdigest() + '"')], n)

    def give(self, org, path, data, headers, n=1):
        start, wanted = 0, re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", "x") in ("x", dict(headers).get("ETag"))
        if wanted and org != "norange" and same:
            start = int(wanted.group(1))
            if start >= len(data):
                return self.answer(416, b"", [("Content-Range", f"bytes */{len(data)}")])
            shift = 1 if org == "shift" else 0
            headers.append(("Content-Range", f"bytes {start - shift}-{len(data) - 1}/{len(data)}"))
        body = data[start:]
        status = 206 if start else 200
        if org == "longer":
            return self.answer(status, body + b"more", headers, len(body) + 4)
        if org == "chunked":
            self.send_response(status)
            for k, v in headers + [("Transfer-Encoding", "chunked")]:
                self.send_header(k, v)
            self.end_headers()
            for i in range(0, len(body), 70000):
                piece = body[i : i + 70000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            return self.wfile.write(b"0\r\n\r\n")
        if org in ("drop", "norange", "shift") and n < 3:
            self.answer(status, body[: len(body) // 3], headers, len(body))
            return self.cut()
        if org == "never":
            self.answer(status, b"", headers, len(body))
            return self.cut()
        if org == "stall" and n < 2:
            self.answer(status, body[: len(body) // 2], headers, len(body))
            self.wfile.flush()
            time.sleep(8)
            return self.cut()
        if org == "slow":
            self.send_response(status)
            for k, v in headers + [("Content-Length", str(len(body)))]:
                self.send_header(k, v)
            self.end_headers()
            for i in range(0, len(body), 10000):
                self.wfile.write(body[i : i + 10000])
                self.wfile.flush()
                time.sleep(0.02)
            return None
        return self.answer(status, body, headers)


def serve(role):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.role = role
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


cdn = serve("cdn")
hub = serve("hub")
hub.cdn_port = cdn.server_port
with open(PORTS + ".new", "w") as f:
    f.write(f"{hub.server_port} {cdn.server_port}\n")
os.rename(PORTS + ".new", PORTS)
# The script that started this ends it; should it be killed, its pipe closes.
sys.stdin.read()
