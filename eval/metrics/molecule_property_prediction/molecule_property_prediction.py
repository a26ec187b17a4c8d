"""`evaluate.load("eval/metrics/molecule_property_prediction")`; README.md beside this file defines every number."""

from geomclip_tools.evaluation.metrics.molecule_property_prediction import MoleculePropertyPrediction

__all__ = ["MoleculePropertyPrediction"]
