"""The rows by name, in the order in which they run."""

from tests.fault.matrix.row import Row
from tests.fault.matrix.rows.bus import cut_bus
from tests.fault.matrix.rows.disk import fill_disk, small_disk
from tests.fault.matrix.rows.kills import kill_at_random
from tests.fault.matrix.rows.poison import undo_poison
from tests.fault.matrix.rows.snapshot import damage_snapshot
from tests.fault.matrix.rows.trainers import run_two_trainers

ROWS = {
    row.name: row
    for row in (
        Row("kill", kill_at_random, may_cut=True),
        Row("bus", cut_bus),
        Row("disk", fill_disk, small_disk),
        Row("snapshot", damage_snapshot),
        Row("trainers", run_two_trainers),
        Row("poison", undo_poison),
    )
}
