"""The verb `report`: one page about a run, or about several side by side."""

from simclr_tf.commands.encoder_sections import (
    confusion_section,
    encoder_facts,
    features_before,
    map_section,
    neighbour_section,
)
from simclr_tf.commands.image_sample import (
    encode_sample,
    readable_part,
    sampled_sources,
)
from simclr_tf.commands.run_files import names_of, read_run
from simclr_tf.commands.view_pairs import view_pairs
from simclr_tf.data import evaluation_batches
from simclr_tf.errors import SimCLRError, require
from simclr_tf.models.encoders import family_of
from simclr_tf.objectives import objective_of
from simclr_tf.report.blocks import Page, PageSection, Text
from simclr_tf.report.comparison_sections import comparison_sections
from simclr_tf.report.galleries import pairs_gallery
from simclr_tf.report.pages import prepare_output, write_page
from simclr_tf.report.run_sections import (
    configuration_section,
    curve_section,
    end_section,
    environment_section,
    evaluation_sections,
)
from simclr_tf.training import load_encoder, untrained_encoder
from simclr_tf.training.assembly import build_recipe

NUM_VIEWS = 12


def report_of_runs(
    paths,
    output,
    *,
    chosen=None,
    encoder=None,
    features=True,
    num_images=2000,
    map_images=1000,
    seed=0,
    command=None,
    say=print,
):
    """Write the report of a run, or the comparison of several.

    The encoders are loaded for the nearest neighbours; for a single run also for maps
    and the mistakes of its probe.

    Args:
      paths: list of paths of workdirs.
      output: path for `write_page`.
      chosen: dict with any of data, split, test_split, data_dir: the images to show, if
        not the run's own.
      encoder: keras.Model, for a workdir whose encoder is a Python object.
      features: bool, False leaves out what needs the encoder or images.
      num_images: int >= 4, sampled training and test images, each.
      map_images: int >= 4, images of the maps.
      seed: int, of the samples and of t-SNE.
      command: str, what made the page, shown at its end.
      say: function that prints a line (str).

    Returns:
      list of pathlib.Path, what was written.

    Raises:
      SimCLRError: no workdir, or chosen images that cannot be opened. If the run's own
        images are missing, the page has a note instead.
    """
    require(
        min(num_images, map_images) >= 4,
        "`num_images` and `map_images` must be >= 4.",
        num_images=num_images,
        map_images=map_images,
    )
    runs = [
        read_run(path, name) for path, name in zip(paths, names_of(paths), strict=True)
    ]
    prepare_output(output, ("matplotlib", "jinja2", "sklearn"))
    settings = {"num_images": num_images, "map_images": map_images, "seed": seed}
    if len(runs) == 1:
        page = _page_of_run(runs[0], chosen or {}, encoder, features, settings, say)
    else:
        learned = _learned_by(runs, chosen or {}, settings, say) if features else []
        page = Page(
            f"Comparison of {len(runs)} runs",
            ", ".join(run.name for run in runs),
            tuple(comparison_sections(runs, learned)),
        )
    return write_page(page, output, command=command)


def _page_of_run(run, chosen, encoder, features, settings, say):
    learned, views, facts = [], [], []
    if features:
        try:
            learned, views, facts = _learned(run, chosen, encoder, settings, say)
        except SimCLRError as error:
            if chosen:  # Images that the user chose must not be dropped silently.
                raise
            say(f"No images on the page: {error}")
            learned = [
                PageSection(
                    "Images", (Text(f"No views, neighbours or maps: {error}", "note"),)
                )
            ]
    end = end_section([run])
    sections = [
        *evaluation_sections(run),
        *learned,
        curve_section([run]),
        *([end] if end else []),
        *views,
        environment_section(run, facts),
        configuration_section(run),
    ]
    step = "no checkpoint" if run.step is None else f"step {run.step:,}"
    about = f"Pretraining on `{run.config.data.source}`, {step}, seed {run.config.seed}"
    return Page(f"Run {run.name}", about, tuple(sections))


def _learned(run, chosen, encoder, settings, say):
    """Return (what the encoder learned, pairs of views, facts): what needs images."""
    config, seed = run.config, settings["seed"]
    size, channels = config.data.image_size_pixels, run.record["data"]["channels"]
    train, test, every, data, note = sampled_sources(
        config.data, chosen, channels=channels, number=settings["num_images"], seed=seed
    )
    # The first images of the run, with the seeds of the run.
    pairs = view_pairs(
        every,
        build_recipe(config.augment),
        image_size_pixels=size,
        number=NUM_VIEWS,
        seed=config.seed,
        groups=objective_of(config.objective).view_groups,
    )
    views = [PageSection("Pairs of views", (pairs_gallery(pairs, NUM_VIEWS),))]
    if run.step is None:
        nothing = Text(
            "No complete checkpoint yet: no neighbours, maps or confusion.", "note"
        )
        return [PageSection("Features", (nothing,))], views, []
    say(
        f"Encoding {train.num_examples:,} training and {test.num_examples:,} test "
        f"images of {data.source} ..."
    )
    try:
        trained = load_encoder(run.workdir.path, encoder=encoder)
    except SimCLRError as error:  # A custom encoder that was not passed.
        return [PageSection("Features", (Text(str(error), "note"),))], views, []
    gallery, tested = (encode_sample(source, trained, size) for source in (train, test))
    # Only readable images from here on: rows of sources and samples agree.
    train, unreadable_train = readable_part(train, gallery)
    test, unreadable_test = readable_part(test, tested)
    notes = [text for text in (note, unreadable_train, unreadable_test) if text]
    for text in notes:
        say(text)
    before = None
    if family_of(config.encoder).can_build:

        def before(rows):
            # A subset of a source has at least two images.
            rows = list(rows) if len(rows) > 1 else [*rows, *rows]
            found = features_before(
                untrained_encoder(run.workdir),
                *(
                    evaluation_batches(source, 128, size)
                    for source in (train, test.subset(rows))
                ),
            )
            return {"before training": found}

    found = [
        neighbour_section(gallery, tested, before, seed=seed),
        map_section(tested, settings["map_images"], seed),
        confusion_section(
            run, trained, gallery, tested, own_images="data" not in chosen
        ),
    ]
    blocks = tuple(Text(text, "note") for text in notes)
    sections = [PageSection("Images", blocks)] if blocks else []
    sections += [section for section in found if section is not None]
    return sections, views, encoder_facts(run, trained)


def _learned_by(runs, chosen, settings, say):
    """Make the sections that show the same images in the features of each encoder."""
    seed = settings["seed"]
    try:
        seen = {}
        for run in runs:
            size, channels = run.config.data.image_size_pixels, run.record["data"]
            train, test, _, data, _ = sampled_sources(
                run.config.data,
                chosen,
                channels=channels["channels"],
                number=settings["num_images"],
                seed=seed,
            )
            encoder = load_encoder(run.workdir.path)
            say(f"Encoding images of {data.source} with {run.name} ...")
            seen[run.name] = [
                encode_sample(part, encoder, size) for part in (train, test)
            ]
        gallery, test = next(iter(seen.values()))
        for others in seen.values():
            require(
                all(
                    other.names == first.names
                    for other, first in zip(others, (gallery, test), strict=True)
                ),
                "The runs have different images: choose images for all with --data.",
            )
    except SimCLRError as error:
        if chosen:  # Images that the user chose must not be dropped silently.
            raise
        note = Text(f"No neighbours side by side: {error}", "note")
        return [PageSection("Nearest neighbours", (note,))]
    first, *rest = seen

    def others(rows):
        return {
            name: (seen[name][0].features, seen[name][1].features[rows])
            for name in rest
        }

    found = neighbour_section(gallery, test, others, title=first, seed=seed)
    return [found] if found else []
