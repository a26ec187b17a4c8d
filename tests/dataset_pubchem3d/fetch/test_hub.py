"""A failed download from the Hub is one error, whatever the Hub's client raises."""

import pytest
from huggingface_hub.errors import HTTPError

from dataset_pubchem3d.fetch.hub import explain_failures


class LostConnectionError(HTTPError):
    """Stands for the errors of the connection."""


@pytest.mark.parametrize("error", [LostConnectionError("no route"), OSError("no route"), RuntimeError("no route")])
def test_a_failed_download_names_the_repository(error):
    with (
        pytest.raises(OSError, match=r"the Hub dataset a/b failed \(.*: no route\); run the command again"),
        explain_failures("a/b"),
    ):
        raise error


def test_other_errors_pass():
    with pytest.raises(KeyError), explain_failures("a/b"):
        raise KeyError
