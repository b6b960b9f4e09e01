"""Placements, experiments and the configuration's file through `/admin/v1`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from omakase.config import Product
from omakase.core.errors import InvalidConfig
from tests.integration.backoffice import Operator
from tests.integration.stage import PRODUCT, START, RunningGateway, Shop, Stage, free_port, until

EXPERIMENTS = """
holdout: {share: 200, salt: "2026"}
experiments:
  ranker:
    placements: [home-top]
    target: {device: [ios, web]}
    ramp: [{at: 2025-10-01T00:00:00Z, share: 1000}, {at: 2025-11-01T00:00:00Z, share: 10000}]
    variants:
      plain: {share: 1000, policy: chance}
      clever: {share: 1000, policy: thompson, model: clicks}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "product.yaml"
    path.write_text(PRODUCT + EXPERIMENTS)
    return path


@pytest.fixture
def operator(stage: Stage, tmp_path: Path, file: Path) -> Iterator[Operator]:
    shop = Shop(tmp_path, file=file)
    shop.stock()
    gateway = RunningGateway(stage, shop, tmp_path / "gateway", f"127.0.0.1:{free_port()}", grace_s=0.0)
    yield Operator(gateway)
    gateway.stop()


def put(operator: Operator, text: str, tag: str) -> tuple[int, dict[str, str], bytes]:
    return operator.send("PUT", "/configuration", text.encode(), If_Match=tag)


def tag_of(operator: Operator) -> str:
    return operator.send("GET", "/configuration")[1]["etag"]


def test_placements_are_told_with_the_shares_that_people_have(operator):
    both = operator.does("GET", "/placements")
    assert [placement["name"] for placement in both["placements"]] == ["home-top", "home-end"]
    top = operator.does("GET", "/placements/home-top")
    assert top == both["placements"][0]
    shares = {one["name"]: (one["share"], one["share_now"], one["model"]) for one in top["variants"]}
    assert shares == {"control": (5000, 5000, None), "learnt": (5000, 5000, "clicks")}
    assert (top["experiments"], top["layer"], top["slots"]) == (["ranker"], "home-top", 3)
    answer = operator.does("GET", "/placements/home-to", expecting=404)
    assert answer["detail"] == "no such placement; did you mean 'home-top'?"


def test_experiments_are_told_with_their_ramp(operator):
    every = operator.does("GET", "/experiments")
    (one,) = every["experiments"]
    assert every["holdout"] == 200
    assert one == operator.does("GET", "/experiments/ranker")
    assert [(variant["share"], variant["share_now"]) for variant in one["variants"]] == [(1000, 100), (1000, 100)]
    assert one["changes"] == [{"at": "2025-11-01T00:00:00Z", "shares": {"plain": 1000, "clever": 1000}}]
    assert one["target"] == {"device": ["ios", "web"]}
    operator.does("GET", "/experiments/rank", expecting=404)
    assert START < 1_761_955_200  # the second step is to come


def test_a_text_that_is_put_is_followed_and_the_one_before_is_kept(operator, file):
    before = file.read_text()
    _, headers, text = operator.send("GET", "/configuration")
    assert text.decode() == before
    assert headers["etag"] == f'"{headers["omakase-in-force"]}"'
    fresh = before.replace("slots: 3", "slots: 4")
    for _ in range(2):  # the answer to the first may have been lost
        assert put(operator, fresh, headers["etag"])[0] == 200
    assert file.read_text() == fresh
    assert file.with_name("product.yaml.previous").read_text() == before
    until(lambda: len(operator.gateway.ask(placement="home-top", anonymous_id="p")["items"]) == 4, "it is followed")
    _, headers, _ = operator.send("GET", "/configuration")
    assert headers["etag"] == f'"{headers["omakase-in-force"]}"'
    assert operator.does("GET", "/placements/home-top")["slots"] == 4


def test_a_wrong_text_is_refused_with_every_fault_and_its_line(operator, file):
    before = file.read_text()
    wrong = before.replace("share: 5000", "share: 500", 1).replace("type: uniform", "type: unifrom")
    answer = operator.send("PUT", "/configuration", wrong.encode(), If_Match=tag_of(operator))
    assert answer[0] == 422
    told = answer[2].decode()
    assert '{"field": "line 8", "message": "placements.home-top.variants: the shares sum to 5500' in told
    (line,) = [number for number, text in enumerate(wrong.splitlines(), start=1) if "unifrom" in text]
    assert f'{{"field": "line {line}", "message": "policies.chance.type: unknown type \'unifrom\'; did you' in told
    assert file.read_text() == before
    assert sorted(path.name for path in file.parent.iterdir()) == [".product.yaml.lock", "product.yaml"]


def test_nobody_overwrites_what_he_has_not_seen(operator, file):
    seen = tag_of(operator)
    file.write_text(file.read_text() + "# by somebody else\n")
    assert put(operator, PRODUCT, seen)[0] == 412
    assert operator.send("PUT", "/configuration", PRODUCT.encode())[0] == 428
    assert file.read_text().endswith("else\n")
    assert put(operator, PRODUCT, tag_of(operator))[0] == 200
    assert put(operator, "#" * 1_000_001, tag_of(operator))[0] == 413


def test_a_file_that_is_wrong_already_can_be_read_and_mended(operator, file):
    file.write_text("placements: {")
    _, headers, text = operator.send("GET", "/configuration")
    assert text == b"placements: {"
    assert headers["etag"] != f'"{headers["omakase-in-force"]}"'
    assert put(operator, PRODUCT, headers["etag"])[0] == 200


def test_a_link_is_followed_to_its_file(operator, file):
    target = file.rename(file.with_name("real.yaml"))
    file.symlink_to(target)
    assert put(operator, PRODUCT, tag_of(operator))[0] == 200
    assert file.is_symlink()
    assert target.read_text() == PRODUCT


def test_what_this_deployment_cannot_serve_is_refused(stage: Stage, tmp_path: Path, file: Path):
    def check(product: Product) -> None:
        if "other" in product.recommenders:
            raise InvalidConfig(["recommenders.other: needs a target"])

    gateway = RunningGateway(
        stage, Shop(tmp_path, file=file), tmp_path / "gateway", f"127.0.0.1:{free_port()}", check=check
    )
    operator = Operator(gateway)
    more = "recommenders: {main: {}, other: {}}\n"
    status, _, answer = put(operator, PRODUCT + more, tag_of(operator))
    assert (status, b"needs a target" in answer) == (422, True)
    gateway.stop()


def test_a_file_that_cannot_be_written_is_a_501_and_one_that_cannot_be_read_a_503(operator, file):
    """As a ConfigMap is mounted; not by permissions, for this test may be run by root."""
    tag = tag_of(operator)
    (file.parent / ".product.yaml.lock").mkdir()
    status, _, answer = put(operator, PRODUCT, tag)
    assert (status, b"ConfigMap" in answer) == (501, True)
    file.unlink()
    assert operator.send("GET", "/configuration")[0] == 503


def test_a_configuration_without_a_file_is_a_501(stage: Stage, tmp_path: Path):
    gateway = RunningGateway(stage, Shop(tmp_path), tmp_path / "gateway", f"127.0.0.1:{free_port()}")
    operator = Operator(gateway)
    assert operator.send("GET", "/configuration")[0] == 501
    assert put(operator, PRODUCT, '"x"')[0] == 501
    gateway.stop()
