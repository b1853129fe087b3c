"""Probes of a frozen encoder: kNN, linear three ways, few labels; their results."""

from simclr_tf.config.evaluate import (
    DEFAULT_PROTOCOLS,
    PROTOCOLS,
    EvaluateConfig,
    FewConfig,
    KNNConfig,
    LinearConfig,
)
from simclr_tf.evaluation.comparison import (
    RAW_PIXELS,
    THIS_ENCODER,
    UNTRAINED,
    compare,
    evaluate_encoder,
)
from simclr_tf.evaluation.distillation import DISTILL_FILE, Distilled, distill
from simclr_tf.evaluation.features import extract_features, raw_pixels
from simclr_tf.evaluation.linear_probe import (
    FewLabelProbe,
    LinearProbe,
    few_label_probe,
    linear_probe,
)
from simclr_tf.evaluation.linear_sgd import (
    BASE_LEARNING_RATES,
    LinearSGDProbe,
    linear_sgd_probe,
)
from simclr_tf.evaluation.logistic import named_l2_values
from simclr_tf.evaluation.protocols import evaluate_features
from simclr_tf.evaluation.results import (
    EVALUATION_FILE,
    FINETUNE_FILE,
    TRANSFER_FILE,
    Measurement,
    Results,
    read_results,
    results_of_record,
    wilson_interval,
    write_results,
)
from simclr_tf.evaluation.ridge import RidgeClassifier, fit_ridge
from simclr_tf.evaluation.training_views import TrainingViews
from simclr_tf.metrics.knn import knn_classify, nearest_neighbours

__all__ = [
    "BASE_LEARNING_RATES",
    "DEFAULT_PROTOCOLS",
    "DISTILL_FILE",
    "Distilled",
    "EVALUATION_FILE",
    "EvaluateConfig",
    "FINETUNE_FILE",
    "TRANSFER_FILE",
    "FewConfig",
    "FewLabelProbe",
    "KNNConfig",
    "LinearConfig",
    "LinearProbe",
    "LinearSGDProbe",
    "Measurement",
    "PROTOCOLS",
    "RAW_PIXELS",
    "Results",
    "RidgeClassifier",
    "THIS_ENCODER",
    "TrainingViews",
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
    "linear_sgd_probe",
    "named_l2_values",
    "nearest_neighbours",
    "raw_pixels",
    "read_results",
    "results_of_record",
    "wilson_interval",
    "write_results",
]
