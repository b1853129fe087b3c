"""Options of earlier versions, and their present names.

A config.json, a manifest or a study of version 0.1.0 is read with these names; an old
flag is refused with a message that names the new one. If only the flag of an option has
changed, its dotted name has not.
"""

# Old flag -> present one, in every verb.
MOVED = {
    "loss.name": "objective",
    "loss.temperature": "objective.temperature",
    "loss.normalize": "objective.normalize",
    "loss.margin": "objective.margin",
    "loss.semi_hard": "objective.semi_hard",
    "loss.chunk_size": "objective.chunk_size",
    "encoder.kind": "encoder",
    "encoder.depth": "encoder",
    "student.depth": "student",
    "global_batch_size": "batch_size",
    "optimizer.name": "optimizer",
    "optimizer.base_learning_rate": "base_learning_rate",
    "augment.recipe": "recipe",
    "views_recipe": "recipe",
    "data.source": "data",
    "data.split": "split",
    "data.test_split": "test_split",
    "data.data_dir": "data_dir",
    "data.image_size_pixels": "image_size_pixels",
}
_OF_TRAINING_WITH_LABELS = {
    "scaling": "optimizer.scaling",
    "warmup_fraction": "optimizer.warmup_fraction",
    "weight_decay": "optimizer.weight_decay",
    "momentum": "optimizer.momentum",
    "crop_area_min_fraction": "augment.crop_area_min_fraction",
}
# The same, for flags of a single verb.
MOVED_OF_VERB = {
    "evaluate": {
        "k": "knn.k",
        "temperature": "knn.temperature",
        "l2_values": "linear.l2_values",
        "linear_epochs": "linear.epochs",
        "linear_batch_size": "linear.batch_size",
        "linear_learning_rates": "linear.base_learning_rates",
        "per_class": "labels_per_class",
        "draws": "few.draws",
    },
    "finetune": _OF_TRAINING_WITH_LABELS,
    "transfer": _OF_TRAINING_WITH_LABELS,
    "distill": {
        **_OF_TRAINING_WITH_LABELS,
        "max_corrupt_fraction": "data.max_corrupt_fraction",
    },
    "benchmark": {
        "depth": "encoder",
        "stem": "encoder.stem",
        "width_multiplier": "encoder.width_multiplier",
        "features": "projection_head.out_features",
        "chunk_size": "objective.chunk_size",
        "intra_op_threads": "performance.intra_op_threads",
        "inter_op_threads": "performance.inter_op_threads",
    },
    "show_views": {"images": "num_images", "pairs": "num_shown"},
}
# In 0.1.0 every loss had the options of all losses; these are the ones it used.
_USED = {
    "nt_xent": ("temperature", "normalize", "chunk_size"),
    "nt_logistic": ("temperature", "semi_hard"),
    "margin_triplet": ("margin", "semi_hard"),
}
# Every record of a run has these options; a file that a user wrote hardly.
_WHOLE_DATA = {"source", "split", "test_split", "labels", "max_corrupt_fraction"}
_OF_ANY_ENCODER = ("batch_norm_momentum", "batch_norm_epsilon")


def with_present_names(values):
    """Return the options of a config.json of any version under their present names.

    Args:
      values: dict of dicts, as in `simclr_tf.config.schema.to_dict`.

    Returns:
      dict of dicts; the argument is not changed.

    Example:
      >>> old = {"loss": {"name": "margin_triplet", "temperature": 0.1, "margin": 0.4}}
      >>> with_present_names(old)
      {'objective': {'name': 'margin_triplet', 'margin': 0.4}}
    """
    values = dict(values)
    if "loss" in values:
        loss = dict(values.pop("loss"))
        name = loss.pop("name", "nt_xent")
        used = _USED.get(name, ())
        values["objective"] = {"name": name} | {
            option: value for option, value in loss.items() if option in used
        }
    for part in ("encoder", "student"):
        old = values.get(part)
        if isinstance(old, dict) and "name" not in old and {"kind", "depth"} & set(old):
            values[part] = _present_encoder(dict(old))
    data = values.get("data")
    if isinstance(data, dict) and _WHOLE_DATA <= data.keys():
        # A record of version 0.1.0: its slices were cut from the images in order.
        values["data"] = {"slices": "in_order", **data}
    if values.get("architecture") == "resnet":  # A distillation.
        values["architecture"] = "other"
    return values


def _present_encoder(encoder):
    kind, depth = encoder.pop("kind", "resnet"), encoder.pop("depth", 50)
    if kind == "resnet":
        return {"name": f"resnet{depth}", **encoder}
    used = {name: encoder[name] for name in _OF_ANY_ENCODER if name in encoder}
    return {"name": kind, **used}


def flat_names(values):
    """Flatten nested options to dotted names.

    Example:
      >>> flat_names({"epochs": 3, "data": {"split": "train"}})
      {'epochs': 3, 'data.split': 'train'}
    """
    flat = {}
    for name, value in values.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{name}.{key}".rstrip("."): item for key, item in inner}
    return flat


def flat_with_present_names(flat):
    """Return the same for a flat dict of dotted names.

    Example:
      >>> flat_with_present_names({"encoder.kind": "resnet", "encoder.depth": 18})
      {'encoder.name': 'resnet18'}
    """
    nested = {}
    for name, value in flat.items():
        section, _, option = name.rpartition(".")
        if section:
            nested.setdefault(section, {})[option] = value
        else:
            nested[name] = value
    return flat_names(with_present_names(nested))


def present_spelling(name, value, verb=None):
    """Return the present form of an old flag; None if `name` is not an old option.

    Args:
      name: str, the flag without dashes.
      value: str or None, the value of the flag.
      verb: str, the verb that has the flag.

    Returns:
      str such as `--encoder=resnet18`, or None.

    Example:
      >>> present_spelling("optimizer.name", "lars")
      '--optimizer=lars'
      >>> present_spelling("encoder.depth", "18")
      '--encoder=resnet18'
      >>> present_spelling("k", "20", "evaluate"), present_spelling("k", "20")
      ('--knn.k=20', None)
    """
    moved = {**MOVED, **MOVED_OF_VERB.get(verb, {})}
    if name not in moved:
        return None
    if name.split(".")[-1] == "depth" and value is not None:
        value = f"resnet{value}"
    return f"--{moved[name]}" + ("" if value is None else f"={value}")
