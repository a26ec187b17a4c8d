"""Delays the models of `modeling_geomclip` in worker processes, which import this module first.

Workers read molecules, for which they import modules of that package, but they run no model. Its `__init__`, which
registers the models with transformers, would take 5 seconds and 200 MB. It runs at `from modeling_geomclip import
GeomCLIPModel`, but not at `import modeling_geomclip` alone.
"""

import importlib.util
import sys
from typing import Any


def import_lazily(name: str) -> None:
    """Import a package without running its `__init__`, which runs when one of its attributes is first missing."""
    spec = importlib.util.find_spec(name)
    package = importlib.util.module_from_spec(spec)

    def load(attribute: str) -> Any:
        del package.__getattr__
        try:
            spec.loader.exec_module(package)
        except BaseException:
            package.__getattr__ = load  # so that the next use tells the same
            raise
        return getattr(package, attribute)

    package.__getattr__ = load  # PEP 562
    sys.modules[name] = package


if "modeling_geomclip" not in sys.modules:
    import_lazily("modeling_geomclip")
