"""Every command of docs/admin.md, run as it stands there by somebody who reads from top to bottom."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from omakase.deployment import Deployment
from omakase.premises import Premises
from tests.integration.backoffice import Operator, ndjson
from tests.integration.stage import PATIENCE_S, PRODUCT, RunningGateway, Shop, Stage, free_port

DOCUMENT = (Path(__file__).parents[2] / "docs" / "admin.md").read_text()
BLOCKS = [block for block in re.findall(r"^```sh\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE) if "curl" in block]

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the document's requests need curl: install it")


def test_every_command_of_the_document_does_what_it_says(stage: Stage, tmp_path: Path):
    file = tmp_path / "configured.yaml"
    file.write_text(PRODUCT)
    shop = Shop(tmp_path, file=file)
    shop.publish()
    premises = Premises.in_directory(Deployment(file, tmp_path / "data"), shop.clock)
    away = f"127.0.0.1:{free_port()}"
    gateway = RunningGateway(stage, shop, tmp_path / "gateway", away, premises=premises)
    desk = tmp_path / "desk"
    desk.mkdir()
    (desk / "items.ndjson").write_bytes(b"".join(ndjson({"item_id": f"sku-{n}"} for n in range(2, 4))))
    told = {"GATEWAY": f"http://127.0.0.1:{gateway.port}", "KEY": Operator(gateway).key}
    answers = []
    for block in BLOCKS:
        run = subprocess.run(
            ["sh", "-euc", block], cwd=desk, env={**os.environ, **told}, capture_output=True, timeout=PATIENCE_S
        )
        assert run.returncode == 0, f"{block}\n{run.stdout!r}\n{run.stderr!r}"
        answers.append(run.stdout.decode())
    assert answers[0].count('"hidden":true') == 2
    assert answers[1].count('{"done":2,"failed":0,"complete":true}') == 2
    assert json.loads(answers[2])["cursor"]
    hidden = {item.item_id for item in shop.catalogue.page("", 100) if item.hidden}
    assert hidden == {"sku-1", "sku-2"}
    assert shop.models.generation(shop.models.keys()[-1]) >= 4
    assert "slots: 4" in file.read_text()
    gateway.stop()
