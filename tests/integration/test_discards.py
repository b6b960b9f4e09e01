"""What came too late for the gateway: from its spool through tracking to the account."""

from __future__ import annotations

import shutil

from gateway.discards import Discards
from omakase.adapters.local.spool import Spool
from omakase.adapters.local.spool_reader import SpoolReader
from omakase.wire import encode_slate
from tests.integration.test_propensities import Line
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import Desk


def test_a_slate_that_nobody_saw_ends_as_discarded_in_whichever_order_it_is_told(stage, shop, tmp_path):
    line = Line(stage, shop)
    shown, late, later = new_slate(), new_slate(), new_slate()
    discards = Discards(Spool(tmp_path / "spool"))
    for slate in (late, later):
        discards.add(slate.request_id)
    first, second = SpoolReader(tmp_path / "spool").read(10)
    line.send(first)
    line.send(*map(encode_slate, (shown, late, later)))
    line.send(second, first)
    line.stop()
    assert line.bus.totals() == {"deliveries": 9, "events": 0, "propensities": 0, "discards": 2}
    desk = Desk(shop.directory)
    desk.trainer.drain()
    assert desk.ends()[0] == {"unseen": 3, "discarded": 6}
    line.loader.load()
    assert len(line.warehouse.query("SELECT * FROM deliveries")) == 9


def test_where_no_record_can_be_kept_it_is_said_once(tmp_path, caplog):
    discards = Discards(Spool(tmp_path / "spool"))
    shutil.rmtree(tmp_path / "spool")
    for _ in range(3):
        discards.add(new_slate().request_id)
    assert [record.message.startswith("slates that came too late will end as unseen") for record in caplog.records] == [
        True
    ]
