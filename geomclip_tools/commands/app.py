"""`geomclip app`: a page in the browser to search an index and look at its molecules."""

import os
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..library import MoleculeIndex
from .index import INDEX_HELP, MODEL_HELP
from .parsing import parse_flags

EXAMPLE = "geomclip app --index my_library"
BUDGET = 20.0  # processor time for a molecule that a user gives, seconds
RELEASE = "release/geomclip-mini"  # in a clone


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    """Settings of `geomclip app`."""

    index: str | None = field(default=None, metadata={"help": INDEX_HELP})
    model: str | None = field(default=None, metadata={"help": MODEL_HELP})
    captioner: str | None = field(
        default=None, metadata={"help": "captioner, which describes molecules on request: folder or Hub id"}
    )
    demo: bool = field(
        default=False, metadata={"help": "make an index of 2,500 named compounds of the package chemicals, and show it"}
    )
    demo_folder: str = field(default="geomclip_demo", metadata={"help": "folder of the demonstration's index"})
    host: str = field(default="127.0.0.1", metadata={"help": "address to listen at; 0.0.0.0 lets other machines in"})
    port: int = field(default=7860, metadata={"help": "port to listen at"})
    open_browser: bool = field(default=True, metadata={"help": "open the page in a browser"})

    def __post_init__(self):
        if self.demo == (self.index is not None):
            raise ValueError("pass either --index or --demo")
        if not 0 < self.port < 65536:
            raise ValueError(f"--port is {self.port}; it must lie in [1, 65535]")


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "app")) -> None:
    """Serve the page until Ctrl-C."""
    settings = parse_flags(AppSettings, argv, " ".join(command), EXAMPLE)
    import uvicorn

    from ..app.answers import Answers
    from ..app.captions import Captions
    from ..app.server import build_app
    from ..library.processes import Processes

    index = _open_index(settings)
    index.encoder  # noqa: B018 (load the model before the page opens)
    caption = settings.captioner and Captions(settings.captioner)
    with Processes(max(1, (os.cpu_count() or 2) // 2), BUDGET) as processes:
        app = build_app(Answers(index, processes, caption))
        url = f"http://{settings.host}:{settings.port}/"
        print(f"the page is at {url}; stop it with Ctrl-C", flush=True)
        if settings.open_browser:
            threading.Timer(1.5, webbrowser.open, [url]).start()
        uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning")


def _open_index(settings: AppSettings) -> MoleculeIndex:
    if not settings.demo:
        return MoleculeIndex.open(settings.index, settings.model)
    from ..app.demo import open_demo

    if settings.model is None and not Path(RELEASE).is_dir():
        raise ValueError(f"the demonstration needs a model, and there is no {RELEASE} here; pass --model")
    return open_demo(Path(settings.demo_folder), settings.model or RELEASE)
