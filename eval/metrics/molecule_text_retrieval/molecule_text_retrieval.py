"""`evaluate.load("eval/metrics/molecule_text_retrieval")`; README.md beside this file defines every number."""

from geomclip_tools.evaluation.metrics.molecule_text_retrieval import MoleculeTextRetrieval

__all__ = ["MoleculeTextRetrieval"]
