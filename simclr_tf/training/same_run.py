"""Whether a run is the one that a folder holds, and how it differs if it is not."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simclr_tf.config.schema import differences
from simclr_tf.data.pixels import READING
from simclr_tf.training.image_list import changes_between, read_image_list

if TYPE_CHECKING:
    from simclr_tf.config.pretrain import Config
    from simclr_tf.training.workdir import Workdir

# Where the images are found; a run knows them by their fingerprint.
PLACES = ("data.source", "probe.data")


def conflict_with(
    workdir: Workdir,
    config: Config,
    data: dict[str, Any],
    files: Callable[[], Any] = lambda: None,
) -> str | None:
    """Describe how the run in a folder differs from one that wants to go on there.

    Args:
      workdir: Workdir with a config.json.
      config, data, files: as for `Workdir.claim`.

    Returns:
      str, the refusal, with a way out; None if it is the same run.

    Raises:
      WorkdirError: config.json is damaged, or of another version.
    """
    before = workdir.read()["data"]
    former = workdir.config()
    changed = changed_options(former, config)
    if changed:
        # Of another guest the name is enough: its options are others anyway.
        others = [n[: -len("name")] for n, _, _ in changed if n.endswith(".name")]
        fields = ", ".join(
            f"{name} (there {old!r}, now {new!r})"
            for name, old, new in changed
            if name.endswith(".name") or not name.startswith(tuple(others))
        )
        longer = _way_to_go_on(workdir, former, config, changed)
        return longer or (
            f"{workdir.path} holds a run of another config: {fields}. Use another "
            f"--workdir (with --init_from={workdir.path} to begin with its encoder), "
            "or the same options to continue."
        )
    if before["fingerprint"] != data["fingerprint"]:
        then, now = read_image_list(workdir.path), files()
        what = f": {changes_between(then, now)}" if then and now else ""
        if what and before.get("reading", 1) < READING:
            what += (
                ". This version takes more kinds of files than the one that began "
                "the run: move those that it did not take out of the folder"
            )
        moved = former.data.source != config.data.source
        return (
            f"The images of {config.data.source} "
            + (
                f"are not those of {former.data.source}, with which the run in "
                if moved
                else "have changed since the run in "
            )
            + f"{workdir.path} began ({before['num_examples']} then, "
            f"{data['num_examples']} now){what}. {_advice_on_slices(former, config)}"
            + ("Give those" if moved else "Put them back")
            + ", or use another --workdir."
        )
    if before.get("probe_fingerprint") != data.get("probe_fingerprint"):
        return (
            f"The images of --probe.data={config.probe.data} have changed since "
            f"the run in {workdir.path} began. Put them back, or use another "
            "--workdir."
        )
    return None


def _way_to_go_on(workdir, former, config, changed):
    """Return the refusal of more epochs after the end, with a command; else ""."""
    old, new = ({name: row[place] for name, *row in changed} for place in (0, 1))
    name = next(iter(new)) if len(new) == 1 else None
    if not workdir.has_ended() or name not in ("epochs", "steps"):
        return ""
    if not (new[name] and old[name]) or new[name] <= old[name]:
        return ""
    more, number = new[name] - old[name], 2
    while (place := workdir.path.with_name(f"{workdir.path.name}_{number}")).exists():
        number += 1
    begun = (
        f"{workdir.path} holds a run of another config: {name} (there {old[name]}, "
        f"now {new[name]}). It has ended, and its learning rate was planned for "
        f"that length; {more:,} more from its weights are a run "
    )
    if former.data.source.startswith("python:") or former.encoder.name == "custom":
        return begun + (
            f"of their own: pretrain(..., workdir={str(place)!r}, {name}={more}, "
            f"init_from={str(workdir.path)!r}, init_parts='encoder_and_head')."
        )
    flags = {
        "config": workdir.config_file,
        "data": config.data.source if " + " not in config.data.source else None,
        "workdir": place,
        name: more,
        "init_from": workdir.path,
        "init_parts": "encoder_and_head",
    }
    given = [f"--{flag}={value}" for flag, value in flags.items() if value]
    command = shlex.join(["simclr-tf", "pretrain", *given])
    return f"{begun}of their own: {command}"


def changed_options(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """List the options in which a run differs from one that it is to continue.

    The places of the images are not among them: fingerprints tell the images.

    Args:
      old, new: Config.

    Returns:
      list of (dotted name, old value, new value).
    """
    found = differences(old, new, resuming=True)
    return [row for row in found if row[0] not in PLACES]


def _advice_on_slices(before, now):
    """Advise on slices, which version 0.1.0 cut from the images in their order."""
    if before.data.slices == now.data.slices or "[" not in now.data.split:
        return ""
    return f"That run had --data.slices={before.data.slices}: give that flag too. "
