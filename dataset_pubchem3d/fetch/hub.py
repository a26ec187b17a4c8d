"""Downloads from the Hugging Face Hub that fail with an error of the build."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import HTTPError

FAILURES = (HTTPError, OSError, RuntimeError)  # what huggingface_hub and hf_xet raise if a request fails


@contextmanager
def explain_failures(repository: str) -> Iterator[None]:
    """Say which repository a failed download was from, and that it resumes.

    Raises:
        OSError: the download failed.
    """
    try:
        yield
    except FAILURES as error:
        raise OSError(
            f"the download from the Hub dataset {repository} failed ({type(error).__name__}: {error}); run the command "
            "again, which continues with the missing files"
        ) from error
