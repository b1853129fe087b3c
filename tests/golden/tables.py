"""A study's table of made-up records, presets, and features of the shipped export."""

import pathlib

import numpy as np
import tensorflow as tf

import simclr_tf
from simclr_tf.config.presets import PRESETS
from simclr_tf.config.schema import flatten
from simclr_tf.studies import STUDIES
from simclr_tf.studies.study_tables import study_markdown
from tests.studies.test_study_reports import made_up

STUDY_NAMES = ("temperature", "losses")
EXPORT = pathlib.Path(__file__).parents[2] / "exported_models" / "freedoom_12_simclr"


def measure_study(name):
    """The tables of a study's page: rows of cells, with the head of each table."""
    study = STUDIES[name]
    cells, record = made_up(study, has_levels=False)
    text = study_markdown(study, cells, record)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in rows
        if set(row) - set("|-: ")
    ]


def measure_preset(name):
    """dict of dotted option to value of a preset's default run."""
    return flatten(PRESETS[name]())


def measure_export():
    """dict: features `[2, 256]` of a shipped encoder by each way to load it."""
    rng = np.random.default_rng(0)
    pictures = rng.uniform(0, 1, (2, 32, 32, 3)).astype("float32")
    saved = tf.saved_model.load(str(EXPORT / "saved_model"))
    return {
        "saved_model": np.asarray(saved(pictures)).tolist(),
        "load_encoder": np.asarray(
            simclr_tf.load_encoder(EXPORT)(pictures, training=False)
        ).tolist(),
    }
