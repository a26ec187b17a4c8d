"""Upload a folder to the Hub. An interrupted upload resumes."""

from glob import escape

from huggingface_hub import HfApi, get_token, is_offline_mode
from huggingface_hub.utils import validate_repo_id

from dataset_pubchem3d.fetch.hub import FAILURES

from .publication import DATASET, Publication


def check_repo_id(repo_id: str) -> None:
    """Check the id of a repository.

    Raises:
        ValueError: it is not an owner and a valid name.
    """
    if repo_id.count("/") != 1:
        raise ValueError(
            f"the repository id {repo_id!r} is not of the form OWNER/NAME; write it as your-name/pubchem3d"
        )
    validate_repo_id(repo_id)


def check_access() -> None:
    """Check that requests are allowed and that there is a token.

    Raises:
        ValueError: huggingface_hub is offline, or there is no token.
    """
    if is_offline_mode():
        raise ValueError("HF_HUB_OFFLINE=1 forbids an upload; unset it, or check the folder with --dry-run")
    if get_token() is None:
        raise ValueError("there is no token of the Hub; run `hf auth login` or set HF_TOKEN, or use --dry-run")


def upload(publication: Publication, repo_id: str, is_private: bool) -> str:
    """Create the repository unless it exists, and upload the files that it lacks.

    After an interruption, the same call sends only what is missing. Data files of an earlier dataset that the folder
    does not have are removed; the history of the repository keeps them.

    Args:
        publication: what to upload.
        repo_id: owner and name of the repository.
        is_private: whether nobody else may see it; if False, a new repository gets the owner's usual visibility.
    Returns:
        The address of the repository.
    Raises:
        ValueError: the repository is public but should be private.
        OSError: a request failed.
    """
    api, place = HfApi(), {"repo_id": repo_id, "repo_type": publication.kind}
    try:
        url = api.create_repo(**place, private=is_private or None, exist_ok=True)
        if is_private and not api.repo_info(**place).private:
            raise ValueError(f"{repo_id} exists and is public; make it private in its settings, or omit --private")
        api.upload_folder(
            **place,
            folder_path=publication.folder,
            allow_patterns=[*map(escape, publication.files)],
            delete_patterns=["data/*"] if publication.kind == DATASET else None,
            commit_message=f"Upload {publication.folder.resolve().name}",
        )
    except FAILURES as error:
        raise OSError(f"the upload to {repo_id} stopped: {error}; run the same command again to resume it") from error
    return str(url)
