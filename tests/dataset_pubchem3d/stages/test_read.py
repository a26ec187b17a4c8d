from dataclasses import replace
from typing import ClassVar

import pytest

from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.sources.base import GeometrySource
from dataset_pubchem3d.stages.read import Reading
from dataset_pubchem3d.stages.workers import Workers


class Recorder(GeometrySource):
    """A source that records how it is fetched."""

    name: ClassVar[str] = "recorder"
    calls: ClassVar[list] = []

    def fetch(self, client, folder, **wanted):
        self.calls.append(wanted)


class ByCID(Recorder):
    name: ClassVar[str] = "by_cid"
    is_fetched_by_cid = True


@pytest.fixture
def fetched(world, tmp_path):
    """Fetch for sources of geometries, and return what each was given."""
    recipe = Recipe.from_yaml(world / "recipe.yaml", properties=None)

    def run(*geometries):
        Recorder.calls.clear()
        with Workers(1) as workers:
            reading = Reading(replace(recipe, geometries=geometries), tmp_path, workers)
            reading.fetched  # noqa: B018
        return Recorder.calls, list(reading.stages)

    return run


def test_a_source_that_is_fetched_by_cid_is_given_the_cids_of_the_described_molecules(fetched):
    (plain, by_cid), _ = fetched(Recorder(), ByCID())
    assert plain == {}
    assert by_cid["cids"].tolist() == [180, 241, 602, 702, 962, 2519, 5950, 6325, 23978, 517045]  # not 99999, unknown


def test_other_sources_are_fetched_before_the_texts_are_identified(fetched):
    (plain,), stages = fetched(Recorder())
    assert plain == {}
    assert not any(title.startswith(("structures", "identified")) for title in stages)


def test_a_source_with_a_path_is_not_fetched(fetched, tmp_path):
    assert fetched(ByCID(path=str(tmp_path)))[0] == []
