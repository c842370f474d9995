"""The forecast: what a farm does next and when it is done. Imports the ledger's records, `calendar` and `jobs`.

Every time of completion that `why`, `plan`, `top`, `submit --dry-run` and the metrics show comes from here. What it
promises, and where it is approximate, is in docs/decisions/0018.
"""

from reelmill_common.forecast.autoscaler import Autoscaler
from reelmill_common.forecast.course import HORIZON, Course
from reelmill_common.forecast.demand import Aims, workers_wanted
from reelmill_common.forecast.outlook import Outlook
from reelmill_common.forecast.paces import ClipPace, Paces, Shape, paces_of, shape_of, shapes_of
from reelmill_common.forecast.starts import Position, Target

__all__ = [
    "HORIZON",
    "Aims",
    "Autoscaler",
    "ClipPace",
    "Course",
    "Outlook",
    "Paces",
    "Position",
    "Shape",
    "Target",
    "paces_of",
    "shape_of",
    "shapes_of",
    "workers_wanted",
]
