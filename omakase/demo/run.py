"""The demo from start to verdict: services, shoppers, view, drain, account."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from rich.console import Console

from omakase.accounts import read_account
from omakase.adapters import open_catalogue_store, open_event_log
from omakase.adapters.local.training_state import SqliteTrainingState
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput, Unavailable
from omakase.demo.crowd import ShopperProcess
from omakase.demo.frame import Frame, Phase
from omakase.demo.freshness import Publish, freshness
from omakase.demo.market import Market, build_market
from omakase.demo.product import CONTROL, TREATMENT, product_yaml
from omakase.demo.progress import Progress
from omakase.demo.scoreboard import RECENT_S, LogReader, Scoreboard
from omakase.demo.summary import print_summary, summary
from omakase.demo.verdict import faults
from omakase.demo.view import NoView, View, view_for
from omakase.deployment import Deployment
from omakase.supervisor import Supervisor

_REFRESH_S = 1.0
_READY_TIMEOUT_S = 30.0
# Longer than the last visits and their patient beacons can take.
_LEAVE_TIMEOUT_S = 30.0


def run_demo(seconds: float, seed: int, data_dir: Path | None, json_output: bool) -> int:
    """Run it all; Ctrl-C ends the shopping early and still drains. Returns the exit code: 0 if the books balance.

    Raises: InvalidInput if `data_dir` holds something already, for the account must be of this run alone.
    """
    console = Console()
    with ExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omakase-demo-")))
        elif data_dir.exists() and any(data_dir.iterdir()):
            raise InvalidInput(f"{data_dir} is not empty: the demo's account covers one run, give it a new directory")
        view = stack.enter_context(NoView() if json_output else view_for(console))
        frame, found = _run(seconds, seed, data_dir, view)
    if json_output:
        print(json.dumps(summary(frame, found)))
    else:
        print_summary(console, frame, found)
    return 1 if found else 0


def _run(seconds: float, seed: int, data_dir: Path, view: View) -> tuple[Frame, list[str]]:
    market = build_market(seed)
    deployment = _deploy(data_dir, market)
    with Supervisor(deployment) as up, closing(Watch(deployment, market, seed, seconds)) as watch:
        view.show(watch.frame("starting", Progress()))
        up.wait_ready(timeout_s=_READY_TIMEOUT_S)
        with ShopperProcess(up.gateway_url, up.tracking_url, seed, seconds, data_dir / "shoppers.log") as shoppers:
            try:
                _follow(watch, shoppers, view, time.monotonic() + seconds + _LEAVE_TIMEOUT_S)
            except KeyboardInterrupt:
                shoppers.finish()
                _follow(watch, shoppers, view, time.monotonic() + _LEAVE_TIMEOUT_S)
            progress = shoppers.progress
        view.show(watch.frame("draining", progress))
        up.drain()
        frame = watch.frame("done", progress)
        view.show(frame)
    return frame, faults(frame.account, progress)


def _deploy(data_dir: Path, market: Market) -> Deployment:
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir / "demo.yaml"
    config.write_text(product_yaml())
    deployment = Deployment(config=config, data_dir=data_dir, http_port=0, tracking_port=0)
    open_catalogue_store(deployment.uris.catalogue).put(market.items)
    return deployment


def _follow(watch: Watch, shoppers: ShopperProcess, view: View, until: float) -> None:
    """Keep the view fresh until the shoppers have left. Raises: Unavailable if they do not."""
    while shoppers.is_running:
        if time.monotonic() > until:
            raise Unavailable("the shoppers do not come to an end: see shoppers.log in the data directory")
        view.show(watch.frame("shopping", shoppers.progress))
        shoppers.wait(_REFRESH_S)


class Watch:
    """Puts together what a frame shows."""

    def __init__(self, deployment: Deployment, market: Market, seed: int, seconds: float) -> None:
        self._deployment = deployment
        self._market = market
        self._seed = seed
        self._seconds = seconds
        self._board = Scoreboard()
        self._reader = LogReader(open_event_log(deployment.uris.bus), self._board)
        self._training = SqliteTrainingState.from_uri(Uri.parse(deployment.uris.training))

    def frame(self, phase: Phase, progress: Progress) -> Frame:
        """How things stand now. Cost: what is new on the bus, and a pass over what was seen. Raises: Unavailable."""
        self._reader.catch_up()
        publishes = (Publish(generation, clicks) for _, generation, _, clicks in self._training.publishes())
        return Frame(
            seed=self._seed,
            phase=phase,
            left_s=max(0.0, self._seconds - progress.elapsed_s),
            uniform_ctr=self._market.uniform_ctr,
            best_ctr=self._market.best_ctr,
            control=self._board.score(CONTROL),
            treatment=self._board.score(TREATMENT),
            recent=self._board.score(TREATMENT, since=self._board.latest_at - RECENT_S),
            progress=progress,
            freshness=freshness(publishes, progress.first_seen),
            account=read_account(self._deployment),
        )

    def close(self) -> None:
        """Let go of the bus."""
        self._reader.close()
