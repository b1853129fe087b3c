"""Options of earlier versions, and what they are called now.

A config.json, a manifest or a study of version 0.1.0 is read with these names; a flag
of an old name is refused with the new one.
"""

# Old flag -> present one.
MOVED = {
    "augment.recipe": "recipe",
    "loss.name": "objective",
    "loss.temperature": "objective.temperature",
    "loss.normalize": "objective.normalize",
    "loss.margin": "objective.margin",
    "loss.semi_hard": "objective.semi_hard",
    "loss.chunk_size": "objective.chunk_size",
    "encoder.kind": "encoder",
    "encoder.depth": "encoder",
}
# In 0.1.0 every loss had the options of all: what each of them used.
_USED = {
    "nt_xent": ("temperature", "normalize", "chunk_size"),
    "nt_logistic": ("temperature", "semi_hard"),
    "margin_triplet": ("margin", "semi_hard"),
}
_OF_ANY_ENCODER = ("batch_norm_momentum", "batch_norm_epsilon")


def with_present_names(values):
    """The nested options of a config.json of any version under their present names.

    Args:
      values: dict of dicts, as of `simclr_tf.config.schema.to_dict`.

    Returns:
      dict of dicts; the one received is not changed.

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
    encoder = values.get("encoder")
    if isinstance(encoder, dict) and "kind" in encoder:
        encoder = dict(encoder)
        kind, depth = encoder.pop("kind"), encoder.pop("depth", 50)
        if kind == "resnet":
            values["encoder"] = {"name": f"resnet{depth}", **encoder}
        else:
            values["encoder"] = {"name": kind} | {
                option: value
                for option, value in encoder.items()
                if option in _OF_ANY_ENCODER
            }
    return values


def flat_with_present_names(flat):
    """The same for a flat dict of dotted names.

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
    return {
        f"{name}.{key}" if isinstance(value, dict) else name: item
        for name, value in with_present_names(nested).items()
        for key, item in (value.items() if isinstance(value, dict) else [("", value)])
    }


def present_spelling(name, value):
    """What to type instead of an old flag; None if `name` is no old option.

    Args:
      name: str, the flag without dashes.
      value: str or None, what was given to it.

    Returns:
      str such as `--encoder=resnet18`, or None.

    Example:
      >>> present_spelling("loss.temperature", "0.5")
      '--objective.temperature=0.5'
      >>> present_spelling("encoder.depth", "18")
      '--encoder=resnet18'
    """
    if name not in MOVED:
        return None
    if name == "encoder.depth" and value is not None:
        value = f"resnet{value}"
    return f"--{MOVED[name]}" + ("" if value is None else f"={value}")
