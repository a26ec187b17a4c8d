"""Accelerate reads the files of configs/accelerate/, and each starts the kind of run in its name."""

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

FOLDER = Path(__file__).parents[1] / "configs" / "accelerate"
KINDS = {
    "cpu": DistributedType.MULTI_GPU,  # its launcher starts the processes; ACCELERATE_USE_CPU puts them on CPUs
    "single_gpu": DistributedType.NO,
    "multi_gpu": DistributedType.MULTI_GPU,
    "fsdp2": DistributedType.FSDP,
    "deepspeed_zero2": DistributedType.DEEPSPEED,
}


def test_every_file_is_known_and_described():
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(KINDS)
    page = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}.yaml` |" in page for name in KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_reads_it(name):
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))  # rejects unknown keys
    assert config.distributed_type == KINDS[name]
    assert (config.num_processes > 1) == (name != "single_gpu")
