"""`evaluate.load("eval/metrics/molecule_captioning")` loads this metric; README.md defines each value."""

from geomclip_tools.evaluation.metrics.molecule_captioning import MoleculeCaptioning

__all__ = ["MoleculeCaptioning"]
