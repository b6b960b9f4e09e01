"""`omakase cloud init`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from omakase.cli.options import Config
from omakase.core.errors import InvalidInput, OmakaseError, Unavailable
from omakase.deployment import Deployment

if TYPE_CHECKING:
    from omakase.cloud.plan import Plan
    from omakase.cloud.resource import Resource

app = typer.Typer(help="Google Cloud, before anything runs there.", no_args_is_help=True)

_EMULATED = "us-central1"  # emulators are nowhere

Project = Annotated[str | None, typer.Option(help="Where the service accounts are. Without it, what addresses name.")]
Location = Annotated[str | None, typer.Option(help="Where buckets and the database are, such as europe-west6.")]
Staging = Annotated[str, typer.Option("--dataflow", help="For the streaming job: gs://BUCKET/PREFIX for its files.")]
Namespace = Annotated[str, typer.Option(help="The cluster's namespace, whose service accounts stand for these.")]
Noted = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Note the addresses there, for commands that are given it.", file_okay=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.callback()
def _cloud() -> None:
    """Keeps `init` a command of its own, though it is the only one."""


@app.command()
def init(
    config: Config,
    project: Project = None,
    location: Location = None,
    staging: Staging = "",
    namespace: Namespace = "omakase",
    data_dir: Noted = None,
    dry_run: DryRun = False,
) -> None:
    """Make what the addresses under `adapters:` need: topics, buckets, tables, and an identity for each workload.

    It may be run again at any time: what is as declared is left alone, tables get the columns they lack, and nothing is
    taken away. What fails is named, and the rest is done all the same.

    Exits with 2 if something is to be changed first, and with 3 if it may be tried again as it is.

    Example: `omakase cloud init --config product.yaml --location europe-west6 --dry-run`
    """
    console = Console(highlight=False, soft_wrap=True)
    try:
        from omakase.cloud.plan import emulated
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("google", "grpc", "requests")):
            raise
        raise InvalidInput(f"{error.name} is not installed: pip install 'omakase[gcp]'") from error

    plan, emulators = _plan(config, project, location, staging, namespace), emulated()
    resources = _resources(plan, with_identities=not emulators)
    changed, left, failures = _work(resources, console, dry_run=dry_run)
    if data_dir is not None and not dry_run:
        Deployment(config, data_dir).settle(plan.addresses)
    if emulators:
        console.print(f"identities are left out, for emulators know none: {', '.join(emulators)}")
    console.print(_summary(changed, left, len(failures), dry_run=dry_run))
    if failures:
        kind = InvalidInput if all(isinstance(failure, InvalidInput) for failure in failures) else Unavailable
        raise kind(f"{len(failures)} failed, as said above; run it again when that is mended")


def _plan(config: Path, project: str | None, location: str | None, staging: str, namespace: str) -> Plan:
    from omakase.cloud.plan import Plan, emulated, project_of
    from omakase.config import load_product

    addresses = load_product(config).adapters.addresses()
    if not addresses:
        raise InvalidInput(f"{config} has no `adapters:`: without them everything is kept in the data directory")
    if location is None and not emulated():
        raise InvalidInput("say where with --location, such as europe-west6: it cannot be changed later")
    return Plan(addresses, project or project_of(addresses), location or _EMULATED, staging, namespace)


def _resources(plan: Plan, *, with_identities: bool) -> Iterator[Resource]:
    from omakase.cloud.rest import Rest

    yield from plan.storage()
    if with_identities:
        yield from plan.identities(Rest.of_this_machine())


def _work(resources: Iterator[Resource], console: Console, *, dry_run: bool) -> tuple[int, int, list[OmakaseError]]:
    """Returns how many were changed, or would be; how many are as declared; and what failed."""
    changed, left = 0, 0
    failures: list[OmakaseError] = []
    failed = Console(highlight=False, soft_wrap=True, stderr=True)
    for resource in resources:
        kind, _, place = resource.name.partition(" ")
        try:
            difference = resource.difference()
            if difference is None:
                left += 1
                continue
            if not dry_run:
                resource.ensure()
            changed += 1
            console.print(f"{kind:15} {place}: {difference}", markup=False)
        except OmakaseError as error:
            failures.append(error)
            failed.print(f"{kind:15} {place}: {error}", style="red", markup=False)
    return changed, left, failures


def _summary(changed: int, left: int, failed: int, *, dry_run: bool) -> str:
    if not changed and not failed:
        return f"nothing to do: {left} are as declared"
    done = "to be made or changed; nothing was done" if dry_run else "made or changed"
    return f"{changed} {done}, {left} were as declared" + (f", {failed} failed" if failed else "")
