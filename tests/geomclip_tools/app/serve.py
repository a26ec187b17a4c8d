"""Serve the page for the tests, in a process of its own as in use: `serve.py INDEX PORT LONGEST_QUEUE`."""

import sys

from geomclip_tools.app.answers import Answers
from geomclip_tools.library import MoleculeIndex
from geomclip_tools.library.processes import Processes


def caption(row):
    """Yield a growing caption."""
    for end in (1, 10, None):
        yield f"a molecule: {row['smiles']}"[:end]


if __name__ == "__main__":
    import uvicorn

    from geomclip_tools.app import server

    path, port, server.LONGEST_QUEUE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Processes(1, 20) as processes:
        app = server.build_app(Answers(MoleculeIndex.open(path), processes, caption))
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
