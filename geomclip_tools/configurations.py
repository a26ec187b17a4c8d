"""Find shipped configurations by name: dataset recipes, training settings and model shapes."""

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

SUFFIXES = ("", ".yaml", ".json")


def find_configuration(name: str | Path, kind: str = "") -> Path:
    """Return the file of this path or, if there is none, the shipped configuration of this name.

    Args:
        name: a path, or a name such as `train/quickstart`, with or without its suffix.
        kind: folder of the shipped configurations that an error lists, such as `train`; all of them if empty.
    Raises:
        ValueError: there is neither; suggests a shipped configuration with a similar name and lists all.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = list_shipped()
    for suffix in SUFFIXES:
        if path := shipped.get(f"{Path(name).as_posix()}{suffix}"):
            return path
    listed = [other for other in shipped if other.startswith(kind)]
    similar = find_similar(str(name), listed)
    raise ValueError(
        f"{str(name)!r} is neither a file nor a shipped configuration"
        + (f"; did you mean {similar!r}?" if similar else ".")
        + f" Shipped configurations: {', '.join(listed)}"
    )


def find_similar(name: str, shipped: Collection[str]) -> str | None:
    """Return the shipped configuration whose name, or else whose file name, is most similar, if any is."""
    by_stem = {Path(other).stem: other for other in shipped}
    matches = get_close_matches(name, shipped, n=1)
    matches += [by_stem[stem] for stem in get_close_matches(Path(name).stem, by_stem, n=1)]
    return matches[0] if matches else None


def list_shipped() -> dict[str, Path]:
    """Return the paths of all shipped configurations by name, including the suffix."""
    folder = find_shipped_folder()
    paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES[1:])
    return {path.relative_to(folder).as_posix(): path for path in paths}


def find_shipped_folder() -> Path:
    """Return the folder `configs` of the installed package or, in a clone, at its root."""
    installed = Path(__file__).with_name("configs")
    return installed if installed.is_dir() else Path(__file__).resolve().parents[1] / "configs"
