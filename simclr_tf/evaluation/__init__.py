"""Probes of a frozen encoder: kNN, linear, few labels, and their results."""

from simclr_tf.evaluation.distillation import DISTILL_FILE, Distilled, distill
from simclr_tf.evaluation.features import extract_features, raw_pixels
from simclr_tf.evaluation.knn import knn_classify, nearest_neighbours
from simclr_tf.evaluation.linear_probe import (
    FewLabelProbe,
    LinearProbe,
    few_label_probe,
    linear_probe,
)
from simclr_tf.evaluation.protocols import (
    RAW_PIXELS,
    THIS_ENCODER,
    UNTRAINED,
    compare,
    evaluate_encoder,
    evaluate_features,
)
from simclr_tf.evaluation.results import (
    EVALUATION_FILE,
    FINETUNE_FILE,
    Measurement,
    Results,
    read_results,
    results_of_record,
    wilson_interval,
    write_results,
)
from simclr_tf.evaluation.ridge import RidgeClassifier, fit_ridge

__all__ = [
    "DISTILL_FILE",
    "Distilled",
    "EVALUATION_FILE",
    "FINETUNE_FILE",
    "FewLabelProbe",
    "LinearProbe",
    "Measurement",
    "RAW_PIXELS",
    "Results",
    "RidgeClassifier",
    "THIS_ENCODER",
    "UNTRAINED",
    "compare",
    "distill",
    "evaluate_encoder",
    "evaluate_features",
    "extract_features",
    "few_label_probe",
    "fit_ridge",
    "knn_classify",
    "linear_probe",
    "nearest_neighbours",
    "raw_pixels",
    "read_results",
    "results_of_record",
    "wilson_interval",
    "write_results",
]
