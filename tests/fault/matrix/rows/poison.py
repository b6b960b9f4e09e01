"""A model that learnt from hostile clicks: rolled back, built anew without them, and let go on."""

from __future__ import annotations

import time

from omakase.adapters import open_event_log, open_training_state
from tests.fault.matrix.commands import rebuild, run
from tests.fault.matrix.people import Attack, ordinary
from tests.fault.matrix.row import Scene, pause, until
from tests.fault.matrix.rows.trainers import until_published

_ATTACK_S = 10.0
_LAST_S = 8.0  # what the attackers still have to send, and the longest session after it


def undo_poison(scene: Scene) -> str:
    """Hostile clicks are learnt; then rollback, rebuild without them, resume; ordinary traffic all the while."""
    scene.load.behave = attack = Attack("bold")
    pause(_ATTACK_S)
    scene.load.behave = ordinary
    ended_at = time.time()
    pause(_LAST_S)
    sent = open_event_log(scene.deployment.uris.bus).last_offset()
    state = open_training_state(scene.deployment.uris.training)
    until(lambda: state.progress().cursor >= sent, "the trainer has read what the attackers sent")
    until_published(scene, "bold", 2, "what they did is learnt")
    run(scene.deployment, "rollback", "bold")
    scene.serve(100)
    scene.excluded = f"variant = 'bold' AND item_id = '{attack.item_id}' AND served_at < {ended_at!r}"
    rebuild(scene.deployment, "bold", excluded=scene.excluded)
    run(scene.deployment, "resume", "bold")
    scene.serve(100)
    return f"hostile clicks on one item for {_ATTACK_S:g} s, then models rollback, rebuild --exclude, resume"
