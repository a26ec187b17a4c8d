"""`geomclip publish`: check a folder and upload it to the Hub."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from dataset_pubchem3d.publication.redistribution import count_terms

from ..publishing.card_checks import check_card
from ..publishing.dataset_checks import check_content, check_terms
from ..publishing.file_checks import check_files
from ..publishing.publication import DATASET, open_folder
from ..publishing.summary import describe_publication
from ..publishing.uploading import check_access, check_repo_id, upload
from .parsing import name_first_words, parse_flags

EXAMPLE = "geomclip publish pubchem3d your-name/pubchem3d --dry-run"


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """Check a built dataset or a checkpoint, and upload it to a repository of the Hugging Face Hub."""

    folder: str = field(metadata={"help": "dataset or checkpoint folder; the first word of the command"})
    repo_id: str = field(metadata={"help": "owner and name of the repository; the second word of the command"})
    private: bool = field(default=False, metadata={"help": "let nobody else see a new repository"})
    dry_run: bool = field(
        default=False, metadata={"help": "check the folder and list what would be uploaded; contact nothing"}
    )
    allow_licenses: list[str] = field(
        default_factory=list,
        metadata={
            "help": "licences of texts or geometries, spelled as the rows state them, that you know to permit "
            "redistribution"
        },
    )


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "publish")) -> None:
    """Run `geomclip publish`."""
    words = name_first_words(argv, ("--folder", "--repo_id"))
    settings = parse_flags(PublishSettings, words, " ".join(command), EXAMPLE)
    check_repo_id(settings.repo_id)
    if not settings.dry_run:
        check_access()
    publication = open_folder(settings.folder)
    is_dataset = publication.kind == DATASET
    counts = count_terms(publication.find(".parquet")) if is_dataset else Counter()
    print(describe_publication(publication, counts, settings.allow_licenses))
    check_card(publication)
    check_files(publication)
    check_terms(publication.folder, counts, settings.allow_licenses)
    if is_dataset:
        check_content(publication.folder)
    if settings.dry_run:
        print(f"dry run: all checks passed; nothing was uploaded to {settings.repo_id}")
    else:
        print(f"published {upload(publication, settings.repo_id, settings.private)}")
