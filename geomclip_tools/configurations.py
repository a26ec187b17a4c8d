"""The configurations that are shipped, found by name: data recipes, training settings, model shapes."""

from pathlib import Path

SUFFIXES = ("", ".yaml", ".json")


def find_configuration(name: str | Path) -> Path:
    """A file of this path or, if there is none, the shipped one of this name, such as `train/quickstart`.

    Raises:
        ValueError: there is neither; names the shipped ones.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = list_shipped()
    for suffix in SUFFIXES:
        if path := shipped.get(f"{Path(name).as_posix()}{suffix}"):
            return path
    raise ValueError(
        f"there is neither a file {str(name)!r} nor a shipped configuration of that name; shipped are "
        f"{', '.join(shipped)}"
    )


def list_shipped() -> dict[str, Path]:
    """All shipped configurations by their names, suffixes included."""
    folder = find_shipped_folder()
    paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES[1:])
    return {path.relative_to(folder).as_posix(): path for path in paths}


def find_shipped_folder() -> Path:
    """Within an installed package; in a clone, `configs/` at its root."""
    installed = Path(__file__).with_name("configs")
    return installed if installed.is_dir() else Path(__file__).resolve().parents[1] / "configs"
