"""The web server of the page: its files, and its answers behind a queue of limited length.

The answers are endpoints of Gradio, so `gradio_client` can ask the same questions as the page. Only what the page and
the client need is reachable: Gradio's own pages, uploads and files are not.
"""

import os
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

try:
    import gradio
    from fastapi import FastAPI
    from fastapi.staticfiles import StaticFiles
    from starlette.responses import FileResponse, JSONResponse
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError as error:
    raise ImportError('the page needs Gradio; pip install "geomclip[app,search]"') from error

from .answers import Answers
from .queries import QueryError

PAGE = Path(__file__).with_name("page")
API = "/api"  # where Gradio is mounted
REACHABLE = tuple(f"{API}/gradio_api/{name}" for name in ("call", "info", "queue", "startup-events", "heartbeat"))
REACHABLE_FILES = ("/", "/favicon.ico", f"{API}/config")
LARGEST_REQUEST = 1_000_000  # bytes
LONGEST_QUEUE = 100  # requests that wait; more are refused
AT_ONCE = 2  # requests that are answered at once
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; "
    "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
WRONG_PARTS = "the request has the wrong parts"
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def build_app(answers: Answers) -> FastAPI:
    """Build the web application: the page at `/`, the API at `/api`."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/page", StaticFiles(directory=PAGE))

    @app.get("/")
    def show_page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/favicon.ico")
    def show_icon() -> FileResponse:
        return FileResponse(PAGE / "icon.svg", media_type="image/svg+xml")

    app = gradio.mount_gradio_app(app, build_api(answers), path=API, show_error=False)
    app.add_middleware(Guard)
    return app


def build_api(answers: Answers) -> gradio.Blocks:
    """Build the endpoints. An error that a user can mend is an answer with `error` instead of `result`."""
    with gradio.Blocks(analytics_enabled=False, title="geomclip") as api:
        for name in ("describe", "search", "export", "explain", "show", "draw_map", "colour_map", "point_at"):
            gradio.api(guard_answer(getattr(answers, name)), api_name=name, concurrency_id="model")
        gradio.api(guard_stream(answers.caption), api_name="caption", concurrency_id="model")
    return api.queue(max_size=LONGEST_QUEUE, default_concurrency_limit=AT_ONCE)


def guard_answer(answer: Callable) -> Callable[[list], dict]:
    """Return an endpoint that takes the arguments of an answer as a list, and returns `result` or `error`."""

    def endpoint(arguments: list) -> dict:
        if not fits(answer, arguments):
            return {"error": WRONG_PARTS}
        try:
            return {"result": answer(*arguments)}
        except QueryError as error:
            return {"error": str(error)}

    return endpoint


def guard_stream(answer: Callable) -> Callable[[list], Iterator[dict]]:
    """Return an endpoint that yields a growing `result`, or an `error`."""

    def endpoint(arguments: list) -> Iterator[dict]:
        if not fits(answer, arguments):
            yield {"error": WRONG_PARTS}
            return
        try:
            for result in answer(*arguments):
                yield {"result": result}
        except QueryError as error:
            yield {"error": str(error)}

    return endpoint


def fits(answer: Callable, arguments: list) -> bool:
    """Return whether an answer takes these arguments; its own errors are not those of the request."""
    try:
        signature(answer).bind(*arguments)
    except TypeError:
        return False
    return True


class Guard:
    """Middleware that hides all other paths, refuses large requests, and adds headers that forbid foreign content."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif not is_reachable(scope["path"]):
            await JSONResponse({"error": "there is no such page"}, 404, HEADERS)(scope, receive, send)
        elif (received := await _receive(scope, receive)) is None:
            told = f"the request is larger than {LARGEST_REQUEST // 1000:,} kB; send a smaller molecule"
            await JSONResponse({"error": told}, 413, HEADERS)(scope, receive, send)
        else:
            await self.app(scope, _replay(received, receive), _add_headers(send))


def is_reachable(path: str) -> bool:
    """Return whether a path of a URL leads somewhere."""
    if ".." in path.split("/"):
        return False
    is_api = any(path == start or path.startswith(f"{start}/") for start in REACHABLE)
    return path in REACHABLE_FILES or path.startswith("/page/") or is_api


async def _receive(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body of a request; None if it is too large."""
    if scope["method"] in ("GET", "HEAD"):
        return b""
    body, is_complete = bytearray(), False
    while not is_complete:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_REQUEST:
            return None
        is_complete = message["type"] == "http.disconnect" or not message.get("more_body", False)
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()  # later the end of the connection
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _add_headers(send: Send) -> Send:
    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return send_more
