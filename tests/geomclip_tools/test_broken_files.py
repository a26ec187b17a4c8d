"""Every file reader raises at most a ValueError for arbitrary bytes, truncated files and other encodings."""

from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from dataset_pubchem3d.benchmarks import read_benchmark
from dataset_pubchem3d.sources.table_files import read_file_rows
from geomclip_tools.commands.embed import list_texts
from geomclip_tools.commands.molecules import list_given
from modeling_geomclip import MoleculeError, read_molecule

BLOCK = Chem.MolToMolBlock(Chem.MolFromSmiles("CO"))
XYZ = "2\né\nC 0 0 0\nO 0 0 1.2\n"
MOL2 = "@<TRIPOS>MOLECULE\nx\n 1 0\nSMALL\nNO_CHARGES\n\n@<TRIPOS>ATOM\n 1 C 0.0 0.0 0.0 C.3 1 MOL 0\n"
TEXTS = {  # a valid file of each kind, with a non-ASCII letter
    "a.smi": "CCO éthanol\nCN\n",
    "a.sdf": f"é{BLOCK}> <NAME>\né\n\n$$$$\n{BLOCK}$$$$\n",
    "a.xyz": XYZ * 2,
    "a.mol2": MOL2.replace("x", "é") * 2,
    "a.csv": 'smiles,text\nCCO,"éthanol,\nan alcohol"\nCN,amine\n',
    "a.tsv": "smiles\ttext\nCCO\té\nCN\t\n",
    "a.txt": "éthanol\nCCO\n",
}
ENCODINGS = ("latin-1", "utf-16", "utf-8-sig", "utf-32")


def read_molecules_of(path: Path) -> None:
    for given_ in list_given([str(path)]):
        try:
            read_molecule(given_.molecule, max_atoms=20)
        except MoleculeError:
            continue


def read_rows_of(path: Path) -> None:
    list(read_file_rows(path, lambda names: names))


READERS = {
    **dict.fromkeys(("a.smi", "a.sdf", "a.xyz", "a.mol2"), (read_molecules_of,)),
    **dict.fromkeys(("a.csv", "a.tsv"), (read_rows_of, read_benchmark, lambda path: list_texts([str(path)]))),
    "a.txt": (read_benchmark, lambda path: list_texts([str(path)])),
}


def read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for reader in READERS[path.name]:
        with suppress(ValueError):
            reader(path)


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_cut_anywhere(tmp_path, name):
    content = TEXTS[name].encode()
    for length in range(len(content)):
        read(tmp_path / name, content[:length])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_another_encoding(tmp_path, name, encoding):
    content = TEXTS[name].encode(encoding)
    read(tmp_path / name, content)
    read(tmp_path / name, content[:-1])


@pytest.mark.parametrize("name", TEXTS)
def test_any_bytes(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("bytes") / name

    @settings(derandomize=True, max_examples=40, deadline=None)
    @given(st.binary(max_size=60), st.integers(0, len(TEXTS[name])))
    def reads(inserted, place):
        content = TEXTS[name].encode()
        read(path, inserted)
        read(path, content[:place] + inserted + content[place:])

    reads()


def test_a_parquet_file_cut_anywhere(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"smiles": ["CCO", "CN"], "text": ["éthanol", "amine"]}).to_parquet(path)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        for reader in (read_rows_of, read_benchmark):
            with pytest.raises(ValueError, match=r"a\.parquet"):
                reader(path)
