"""`evaluate.load("eval/metrics/molecule_text_retrieval")` loads this metric; README.md defines each value."""

from geomclip_tools.evaluation.metrics.molecule_text_retrieval import MoleculeTextRetrieval

__all__ = ["MoleculeTextRetrieval"]
