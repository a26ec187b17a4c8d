"""`evaluate.load("eval/metrics/molecule_property_prediction")` loads this metric; README.md defines each value."""

from geomclip_tools.evaluation.metrics.molecule_property_prediction import MoleculePropertyPrediction

__all__ = ["MoleculePropertyPrediction"]
