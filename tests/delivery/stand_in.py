"""A stand-in for the REST interfaces of GitHub and GitLab: comments and issues, and what they refuse.

GitHub: docs.github.com/en/rest, issues/comments, issues/issues, using-the-rest-api/using-pagination-in-the-rest-api,
using-the-rest-api/rate-limits-for-the-rest-api. GitLab: docs.gitlab.com/api: notes, issues, rest/#pagination.
"""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN = "s3cret-token"


class World:
    """What the forge holds."""

    def __init__(self, gitlab):
        self.gitlab = gitlab
        self.own = "project_7_bot" if gitlab else "github-actions[bot]"
        self.comments, self.issues = [], []
        self.requests = []
        self.refusals = []  # (method, status, headers, body) of the next answers
        self.foreign_pages = False

    def post(self, posts, author, body, **more):
        number = len(self.comments) + len(self.issues) + 1
        form = {"body": body, "state": "opened" if self.gitlab else "open", **more}
        if self.gitlab:
            form |= {"id": 1000 + number, "iid": number, "author": {"username": author}}
        else:
            form |= {"id": 1000 + number, "number": number, "user": {"login": author}}
        posts.append(form)
        return form

    def open_issues(self):
        return [each for each in self.issues if each["state"] in ("open", "opened") and "pull_request" not in each]

    def writes(self):
        return [(method, path) for method, path in self.requests if method != "GET"]


def answer(world, method, target, headers, form):
    """Return (status, form or page); a page is a list."""
    path = urlsplit(target).path
    if world.gitlab:
        return _gitlab(world, method, path, headers, form)
    return _github(world, method, path, headers, form)


def _github(world, method, path, headers, form):
    if not headers.get("User-Agent"):
        return 403, {"message": "Request forbidden by administrative rules."}
    if headers.get("Authorization") != f"Bearer {TOKEN}":
        return 401, {"message": "Bad credentials"}
    if path == "/user":
        return 403, {"message": "Resource not accessible by integration"}
    if method in ("POST", "PATCH"):
        body = form.get("body")
        if body is not None and len(body) > 65536:
            errors = [{"resource": "IssueComment", "code": "unprocessable", "message": "body is too long"}]
            return 422, {"message": "Validation Failed", "errors": errors}
    posts = world.comments if "/comments" in path else world.issues
    if found := re.fullmatch(r"/repos/acme/flows/issues(/7/comments)?", path):
        if method == "GET":
            return 200, [each for each in posts if found[1] or each["state"] == "open"]
        needed = "body" if found[1] else "title"
        if method != "POST" or not form.get(needed):
            return 422, {"message": "Validation Failed", "errors": [{"code": "missing_field", "field": needed}]}
        return 201, world.post(posts, world.own, **form)
    found = re.fullmatch(r"/repos/acme/flows/issues/(?:comments/)?(\d+)", path)
    key = "id" if "/comments/" in path else "number"
    mine = [each for each in posts if found and each[key] == int(found[1])]
    if not mine or method != "PATCH":
        return 404, {"message": "Not Found"}
    if form.get("state") not in (None, "open", "closed"):
        return 422, {"message": "Validation Failed"}
    mine[0].update(form)
    return 200, mine[0]


def _gitlab(world, method, path, headers, form):
    if headers.get("PRIVATE-TOKEN") != TOKEN:
        return 401, {"message": "401 Unauthorized"}
    if path == "/user":
        return 200, {"id": 1, "username": world.own}
    found = re.fullmatch(r"/projects/42/(merge_requests/7/notes|issues)(?:/(\d+))?", path)
    if found is None:
        return 404, {"error": "404 Not Found"}
    issues = found[1] == "issues"
    posts, text = (world.issues, "description") if issues else (world.comments, "body")
    if method == "GET":
        return 200, [each for each in posts if not issues or each["state"] == "opened"]
    if method == "POST" and not found[2]:
        needed = "title" if issues else "body"
        if not form.get(needed):
            return 400, {"error": f"{needed} is missing"}
        return 201, world.post(posts, world.own, form.pop(text, ""), **form)
    mine = [each for each in posts if found[2] and each["iid" if issues else "id"] == int(found[2])]
    if method != "PUT" or not mine:
        return 404, {"message": "404 Not found"}
    if set(form) - {text, "state_event"} or form.get("state_event", "close") != "close":
        return 400, {"error": "parameters are invalid"}
    if text in form:
        mine[0]["body"] = form[text]
    if form.get("state_event"):
        mine[0]["state"] = "closed"
    return 200, mine[0]


@contextmanager
def forge(*, gitlab):
    """Serve a world; yield it with the environment of a pipeline in it."""
    world = World(gitlab)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def serve(self):
            length = int(self.headers.get("Content-Length") or 0)
            form = json.loads(self.rfile.read(length)) if length else {}
            world.requests.append((self.command, urlsplit(self.path).path))
            if world.refusals and world.refusals[0][0] in ("", self.command):
                _, status, headers, body = world.refusals.pop(0)
                self.reply(status, headers, body)
                return
            status, found = answer(world, self.command, self.path, self.headers, form)
            headers = {}
            if isinstance(found, list):
                found, headers = self.page(found)
            self.reply(status, headers, found)

        def page(self, found):
            address = urlsplit(self.path)
            query = parse_qs(address.query)
            size = min(int(query.get("per_page", ["30"])[0]), 100)
            number = int(query.get("page", ["1"])[0])
            host = "http://forge.invalid" if world.foreign_pages else base
            more = {"Link": f'<{host}{address.path}?{_with(query, number + 1)}>; rel="next", <x>; rel="last"'}
            return found[(number - 1) * size : number * size], more if len(found) > number * size else {}

        def reply(self, status, headers, form):
            body = json.dumps(form).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = serve

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        if gitlab:
            environment = {"GITLAB_CI": "true", "CI_API_V4_URL": base, "CI_PROJECT_ID": "42", "GITLAB_TOKEN": TOKEN}
            environment["CI_MERGE_REQUEST_IID"] = "7"
        else:
            environment = {"GITHUB_API_URL": base, "GITHUB_REPOSITORY": "acme/flows", "GITHUB_TOKEN": TOKEN}
        yield world, environment
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _with(query, page):
    return "&".join(f"{name}={value}" for name, value in ({k: v[0] for k, v in query.items()} | {"page": page}).items())
