"""What a run is about to do, in plain lines before its first step."""

import numpy as np

from simclr_tf.augment import plan_views
from simclr_tf.config.image_size import size_text
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.pretrain import Config
from simclr_tf.config.schema import differences
from simclr_tf.data import kind_of
from simclr_tf.data.folder_layout import spelled
from simclr_tf.data.left_out import left_out_count
from simclr_tf.errors import SimCLRError
from simclr_tf.models.encoders import family_of
from simclr_tf.objectives import OBJECTIVES, objective_of

_CLASSES = 6  # Named on the screen.
_SHOWN_ELSEWHERE = ("data.source", "data.split", "precision", "jit_compile")


def overview(
    config, source, probe_source, plan, *, sizes=(), splits=(), left_out_path=None
):
    """Describe the images, their labels, the options and the length of a run.

    Args:
      config: Config.
      source: Source of the pretraining images.
      probe_source: Source of the online probe's own images, or None.
      plan: Plan of the steps.
      sizes: list of (height, width) of some images, see `Source.sampled_sizes`.
      splits: list of str, the splits that the data set has.
      left_out_path: path of the list of left-out files, or None.

    Returns:
      list of str, one a line.
    """
    lines = [_data_line(source, splits)]
    if sizes:
        lines.append(f"Sizes       {sizes_text(sizes)}")
    lines.append(_labels_line(config, source, probe_source))
    if probe_source is not None:
        lines.append(f"Probe       {_data_line(probe_source, ())[12:]}")
        lines.append(f"            {classes_text(probe_source)}")
    left_out = [n for s in (source, probe_source) if s is not None for n in s.left_out]
    if left_out:
        where = f", named in {left_out_path}" if left_out_path else ""
        lines.append(f"Left out    {left_out_count(left_out)}{where}")
    lines += [_options_line(config), _training_line(config)]
    lines.append(
        f"Length      {plan.total_steps / plan.epoch_steps:.3g} epochs of "
        f"{plan.epoch_steps:,} steps of {config.global_batch_size:,} images, "
        f"{plan.total_steps:,} steps in all"
    )
    return lines


def found_splits(config):
    """List the splits of a config's data set; () where they are not known.

    Args:
      config: Config.

    Returns:
      list of str.
    """
    try:
        kind, target = kind_of(config.data.source)
        return kind.split_names(target, config.data.data_dir)
    except SimCLRError:  # Images from Python.
        return []


def sizes_text(sizes):
    """Describe the sizes of images, or of a sample of them.

    Args:
      sizes: list of (height, width), at least one.

    Returns:
      str.

    Example:
      >>> sizes_text([(32, 32)]), sizes_text([(9, 8), (30, 40), (5, 6)])
      ('all 32 x 32 pixels', '5 x 6 to 30 x 40 pixels, median 9 x 8 (of 3)')
    """
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    small, middle, large = (
        "{} x {}".format(*ordered[place])
        for place in (0, (len(ordered) - 1) // 2, len(ordered) - 1)
    )
    if ordered[0] == ordered[-1]:
        return f"all {small} pixels"
    return f"{small} to {large} pixels, median {middle} (of {len(ordered):,})"


def classes_text(source):
    """Describe the classes of a source, with their counts.

    Args:
      source: Source with labels.

    Returns:
      str, such as `2 classes: cats 30, dogs 28; 3 images without a label`.
    """
    if source.labels is None:  # A stream.
        return "labels of a stream, not counted"
    known = source.labels[source.labels >= 0]
    labels, counts = np.unique(known, return_counts=True)
    shown = [
        f"{source.class_name(label)} {count:,}"
        for label, count in zip(labels[:_CLASSES], counts, strict=False)
    ]
    if len(labels) > _CLASSES:
        shown.append(f"... ({counts.min():,} to {counts.max():,} images each)")
    text = f"{len(labels):,} classes: {', '.join(shown)}"
    unlabelled = len(source.labels) - len(known)
    return text + (f"; {unlabelled:,} images without a label" if unlabelled else "")


def _data_line(source, splits):
    number = source.num_examples
    count = "a stream of images" if number is None else f"{number:,} images"
    used = spelled(splits, source.split.partition("[")[0])
    others = [name for name in splits if name not in used]
    beside = f" (there are also: {', '.join(others)})" if others else ""
    colour = {1: ", grey", 3: ""}.get(source.channels, f", {source.channels} channels")
    rule = getattr(source, "slice_rule", "")
    split = f"split {source.split}{f' ({rule})' if rule else ''}"
    return f"Data        {source.name}, {split}{beside}: {count}{colour}"


def _labels_line(config, source, probe_source):
    if not source.has_labels:
        asked = " (--data.labels=none)" if config.data.labels == "none" else ""
        return f"Labels      none{asked}"
    if OBJECTIVES[config.objective.name].learns_from_labels:
        use = f"the objective {config.objective.name} learns from them"
    elif config.probe.online and probe_source is None:
        use = "for the probe only, the encoder does not see them"
    else:
        use = "not used"
    return f"Labels      {classes_text(source)}; {use}"


def _options_line(config):
    base = get_preset(config.preset) if config.preset in PRESETS else Config()
    changes = [
        f"{name}={new}"
        for name, _, new in differences(base, config)
        if name not in _SHOWN_ELSEWHERE
    ]
    changed = f" with {', '.join(changes)}" if changes else ""
    return f"Options     preset {config.preset or 'none'}{changed}"


def _training_line(config):
    size = config.data.image_size_pixels
    network = family_of(config.encoder).describe(config.encoder, size)
    groups = objective_of(config.objective).view_groups
    views = plan_views(config.augment.build(), size, groups).views
    small = [view for view in views if view.size != views[0].size]
    beside = f" and {len(small)} of {size_text(small[0].size, ' x ')}" if small else ""
    return (
        f"Training    {network}, objective {config.objective.name}, views of "
        f"{size_text(size, ' x ')} pixels{beside} by the recipe {config.augment.recipe}"
    )
