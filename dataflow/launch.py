"""`python -m dataflow.launch --config=… --bus=… --models=… --warehouse=… [Beam's options]`: the job, onto Dataflow.

It is what the flex template runs. With `--update` it takes the place of the running job of its name.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult
from google.cloud.storage import Client

from dataflow.history import Filing
from dataflow.job import Job
from dataflow.streaming import Streaming
from omakase import __version__, logs
from omakase.adapters import open_model_store, open_warehouse
from omakase.adapters.gcp.credentials import credentials_for
from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.gcp.pubsub.bus_messages import KEY, RECEIVED_AT
from omakase.adapters.gcp.pubsub.clients import subscription_path, topic_path
from omakase.adapters.uri import Uri
from omakase.cloud.topics import dead_letter_topic
from omakase.config import Product, load_product
from omakase.core.errors import InvalidConfig, InvalidInput, OmakaseError
from omakase.core.suggestion import suggest
from omakase.settings import StreamingSettings

_DEFAULTS = (
    "--runner=DataflowRunner",
    "--enable_streaming_engine",
    "--autoscaling_algorithm=THROUGHPUT_BASED",
    "--experiments=disable_logging_submission_environment",  # what workers have is their image
)


def job_of(settings: StreamingSettings, product: Product) -> Job:
    """Workers open the adapters by what is pickled here: a function of `omakase.adapters` and an address.

    Raises: InvalidInput.
    """
    bus = Uri.parse(settings.bus)
    if bus.scheme != "pubsub" or "subscription" not in bus.options:
        raise InvalidInput(f"--bus={settings.bus}: Dataflow reads pubsub:PROJECT/TOPIC?subscription=NAME")
    topic = topic_path(bus.location)
    return Job(
        subscription_path(topic, bus.options["subscription"]),
        dead_letter_topic(topic),
        KEY,
        RECEIVED_AT,
        Streaming.of(
            product,
            partial(open_model_store, settings.models),
            settings.shard,
            settings.spread,
            closed_before=settings.closed_before or -math.inf,
        ),
        Filing(
            partial(open_warehouse, settings.warehouse),
            settings.history_bytes,
            settings.history_s,
            settings.history_spread,
        ),
    )


def options_of(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options, with ours where nothing is said. Raises: InvalidConfig for a misspelt one of ours.

    Beam itself warns of others that it does not know: the template's launcher may hand over what is new.
    """
    options = PipelineOptions([*_DEFAULTS, *arguments])
    known, given = options.get_all_options(), options.get_all_options(retain_unknown_options=True)
    told = {name: suggest(name, StreamingSettings.model_fields) for name in sorted(given.keys() - known.keys())}
    if misspelt := [f"--{name}: unknown option{near}" for name, near in told.items() if near]:
        raise InvalidConfig(misspelt)
    options.view_as(StandardOptions).streaming = True
    cloud = options.view_as(GoogleCloudOptions)
    cloud.labels = [*(cloud.labels or []), f"omakase={__version__.replace('.', '-')}"]
    return options


def launch(arguments: Sequence[str]) -> PipelineResult:
    """Build the job and submit it; it runs without us. Raises: InvalidConfig; InvalidInput; what Beam raises."""
    settings, others = StreamingSettings.from_arguments(arguments)
    options = options_of(others)
    with local_file(settings.config) as config:
        job = job_of(settings, load_product(config))
    pipeline = beam.Pipeline(options=options)
    job.build(pipeline)
    return pipeline.run()


@contextmanager
def local_file(config: str) -> Iterator[Path]:
    """The configuration as a file; one in a bucket with what lies beside it there.

    Raises: InvalidConfig; Unavailable.
    """
    if not config.startswith("gs://"):
        yield Path(config)
        return
    bucket, _, name = config.removeprefix("gs://").partition("/")
    directory = name.rpartition("/")[0]
    with TemporaryDirectory() as copies:
        with cloud_errors(f"read {config}"):
            client = Client(credentials=credentials_for("STORAGE_EMULATOR_HOST"))
            for blob in client.list_blobs(bucket, prefix=f"{directory}/" if directory else "", delimiter="/"):
                if not blob.name.endswith("/"):
                    blob.download_to_filename(str(Path(copies) / blob.name.rpartition("/")[2]))
        yield Path(copies) / name.rpartition("/")[2]


def main() -> int:
    logs.set_up("launcher", "INFO", "text")
    try:
        launch(sys.argv[1:])
    except OmakaseError as error:
        print(f"launcher: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
