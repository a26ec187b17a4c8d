"""Check that a dataset is as it was built, and that all its rows may be redistributed.

A dataset with other rows is refused as a whole. A copy without these rows would be a dataset that the recipe on its
card does not build, with counts that are not its own. A build without them has the right card, and gives a text another
geometry where it can.
"""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from dataset_pubchem3d.pairs import read_report
from dataset_pubchem3d.pubchem3d import digest_content
from dataset_pubchem3d.publication.redistribution import Terms, may_be_redistributed


def check_content(folder: Path) -> None:
    """Check that the Parquet files are those that the build wrote.

    Raises:
        ValueError: the files of a config have changed.
        FileNotFoundError: a config has no files.
    """
    for config, digest in read_report(folder)["sha256"].items():
        if digest_content(folder, config) != digest:
            raise ValueError(f"the files of the config {config} in {folder} are not those of the build; build it again")


def check_terms(folder: Path, counts: Counter[tuple[Terms, ...]], allowed: Collection[str] = ()) -> None:
    """Check that the text and the geometry of every row may be redistributed.

    Args:
        folder: folder of the rows, for messages.
        counts: rows by the terms of their parts, as of `count_terms`.
        allowed: licences, as the rows state them, that the user knows to permit it.
    Raises:
        ValueError: there are other rows; the message counts them by source and licence. Or no row states an allowed
            licence.
    """
    stated = {terms.license for parts in counts for terms in parts}
    if unknown := [name for name in allowed if name not in stated]:
        raise ValueError(f"--allow-licenses {unknown[0]!r}: no row of {folder} states it; spell it as the rows do")
    refused, rows = Counter(), 0
    for parts, number in counts.items():
        faulty = [terms for terms in parts if not may_be_redistributed(terms, allowed)]
        refused.update(dict.fromkeys(faulty, number))
        rows += number if faulty else 0
    if not rows:
        return
    told = "; ".join(f"{number:,} x {terms}" for terms, number in refused.most_common())
    raise ValueError(
        f"{rows:,} of the {sum(counts.values()):,} rows of all configs of {folder} are not known to be free to "
        f"redistribute: {told}. Build it with --text-licenses permissive or with other sources of geometries, or name "
        "the licences that permit it with --allow-licenses"
    )
