"""One file per source. Each yields its own records lazily and knows nothing of the other sources."""

from importlib.util import find_spec
from pathlib import Path


def installed_folder(package: str) -> Path:
    """Folder of an installed package, found without importing it.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the data package {package!r} is not installed; pip install {package}")
    return Path(spec.submodule_search_locations[0])
