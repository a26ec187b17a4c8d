"""`evaluate.load("eval/metrics/molecule_captioning")`; README.md beside this file defines every number."""

from geomclip_tools.evaluation.metrics.molecule_captioning import MoleculeCaptioning

__all__ = ["MoleculeCaptioning"]
