"""Describe in text what is published: files, rows and licences."""

from collections import Counter
from collections.abc import Collection

from dataset_pubchem3d.pairs import read_report
from dataset_pubchem3d.plan import format_bytes
from dataset_pubchem3d.publication.redistribution import Terms, may_be_redistributed

from .publication import DATASET, Publication


def describe_publication(publication: Publication, counts: Counter[tuple[Terms, ...]], allowed: Collection[str]) -> str:
    """Describe the files and, of a dataset, the rows of its configs and the licences of their parts.

    Args:
        publication: what is published.
        counts: rows by the terms of their parts; empty for a model.
        allowed: licences that the user knows to permit redistribution.
    """
    sizes = {file: (publication.folder / file).stat().st_size for file in publication.files}
    lines = [f"{publication.folder}: a {publication.kind} of {len(sizes)} files, {format_bytes(sum(sizes.values()))}"]
    lines += [f"  {format_bytes(size):>10}  {file}" for file, size in sizes.items()]
    if publication.kind == DATASET:
        for config, splits in read_report(publication.folder)["configs"].items():
            told = ", ".join(f"{rows:,} {split}" for split, rows in splits.items())
            lines.append(f"config {config}: {told or 'no rows'}")
    rows = Counter()
    for parts, number in counts.items():
        rows.update(dict.fromkeys(parts, number))
    for terms, number in rows.most_common():
        verdict = "may be redistributed" if may_be_redistributed(terms, allowed) else "NOT KNOWN TO BE FREE"
        lines.append(f"{number:,} rows of all configs: {terms}: {verdict}")
    return "\n".join(lines)
