"""The encoder at a path: its config, its channels, and the folder for its results."""

import dataclasses
import pathlib

from simclr_tf._keras import keras
from simclr_tf.config import Config
from simclr_tf.encoder_zoo import encoder_path
from simclr_tf.errors import ConfigError, require
from simclr_tf.evaluation import write_results
from simclr_tf.files import require_writable, write_atomically
from simclr_tf.training import (
    Checkpoint,
    CheckpointStore,
    Workdir,
    load_projection_head,
)
from simclr_tf.training.load import encoder_and_checkpoint
from simclr_tf.training.path_contents import inspect_path

EVALUATIONS = pathlib.Path("evaluations")


@dataclasses.dataclass(frozen=True)
class EncoderAt:
    """An encoder to measure, with the records of its files.

    Attributes:
      name: str, its path as the user wrote it.
      path: pathlib.Path.
      is_run: bool, whether it is the workdir of a run.
      config: Config of the run, or the default one.
      encoder: keras.Model.
      checkpoint: Checkpoint of the run that the encoder was loaded from; None for
        other encoders.
    """

    name: str
    path: pathlib.Path
    is_run: bool
    config: Config
    encoder: keras.Model
    checkpoint: Checkpoint | None = None

    @property
    def channels(self):
        """Channels of the images that the encoder takes; None if not known."""
        if self.is_run:
            return Workdir(self.path).read()["data"]["channels"]
        if hasattr(self.encoder, "num_channels"):
            return self.encoder.num_channels
        return self.encoder.input_shape[-1]

    @property
    def step(self):
        """Step of the weights that were loaded from a run; None for other encoders."""
        return None if self.checkpoint is None else self.checkpoint.step

    def projection_head(self, head_layer):
        """Return the projection head that `--head_layer` needs, or None.

        Unset, it is that of a run, from which the number of labels chooses a layer.

        Raises:
          ConfigError: a projection head is needed, and the encoder is not from a
            workdir.
        """
        if head_layer == 0 or (head_layer is None and not self.is_run):
            return None
        require(
            self.is_run,
            "The projection head is only in the workdir of a run: use "
            "--workdir, or --head_layer=0.",
            head_layer=head_layer,
        )
        return load_projection_head(Workdir(self.path), self.encoder, self.checkpoint)


def open_encoder(options, chosen, encoder=None, step=None):
    """Load the encoder that a verb measures.

    Args:
      options: ChosenEncoder.
      chosen: dict of flags for the images: they describe the data where the path does
        not.
      encoder: keras.Model, for a workdir whose encoder is a Python object.
      step: int, the checkpoint of a run to load; the newest complete one if None.

    Returns:
      EncoderAt.

    Raises:
      ConfigError: flags are missing, or there is no checkpoint of this step.
      DataError, WorkdirError: no encoder at the path.
    """
    path = encoder_path(options.path)
    place = inspect_path(path).at_step(step)
    config, images = place.config(), place.images()
    if config is None:
        for name in ("data", "image_size_pixels"):
            if name not in chosen and name not in images:
                raise ConfigError(
                    f"{path} has no record of its training data: --{name} is required."
                )
    is_run = config is not None and place.is_run
    config = config or Config()
    # Read once: a run in progress may have a newer checkpoint by now.
    encoder, checkpoint = encoder_and_checkpoint(place, encoder)
    return EncoderAt(
        name=str(options.path),
        path=path,
        is_run=is_run,
        config=dataclasses.replace(
            config, data=dataclasses.replace(config.data, **images)
        ),
        encoder=encoder,
        checkpoint=checkpoint if is_run else None,
    )


def output_folder(options):
    """Choose the folder for results: --output, the workdir, or one in `evaluations`.

    Results of a step that was chosen have a folder of their own in the workdir,
    `evaluations/step-00000230`: those of the newest stay. The folder is made when the
    first result is written.

    Args:
      options: MeasuredEncoder.

    Raises:
      DataError, WorkdirError: no encoder at the path, --workdir is not a run, or
        nothing can be written to the folder.
    """
    if options.workdir:
        Workdir(options.workdir).read()
    if options.output:
        return require_writable(options.output)
    path = encoder_path(options.path)
    if not inspect_path(path).is_run:
        return require_writable(EVALUATIONS / path.name)
    step = getattr(options, "step", None)
    if step is not None:
        path = path / EVALUATIONS / CheckpointStore(path).path_of(step).name
    return require_writable(path)


def write_results_and_table(path, results, title, table, say):
    """Write results as JSON, and beside it as a page with their table; print the table.

    Args:
      path: pathlib.Path of the JSON file; the page has its name with `.md`.
      results: Results.
      title: str, Markdown, of the page.
      table: str, Markdown.
      say: function that prints a line (str).

    Raises:
      WorkdirError: a file cannot be written.
    """
    write_results(path, results)
    write_atomically(path.with_suffix(".md"), f"# {title}\n\n{table}\n")
    say(f"\n{table}\n")
