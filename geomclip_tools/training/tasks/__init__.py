"""The training tasks, by their names on the command line."""

from .base import Task
from .caption import Captioning
from .pretrain import Pretraining
from .pretrain_geometry import GeometryPretraining
from .property import PropertyPrediction

TASKS: dict[str, type[Task]] = {
    "pretrain": Pretraining,
    "pretrain_geometry": GeometryPretraining,
    "caption": Captioning,
    "property": PropertyPrediction,
}
