from __future__ import annotations

from gateway.admission import Admission


def test_has_room_for_so_many_and_for_another_when_one_has_left():
    admission = Admission(2)
    assert [admission.enter() for _ in range(4)] == [True, True, False, False]
    admission.leave()
    assert [admission.enter() for _ in range(2)] == [True, False]
    assert admission.inside == 2
