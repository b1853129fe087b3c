"""Choices, and their help, that the options of several verbs share."""

from typing import Literal

# Where the catalogues are; their names are read without an import of them.
OBJECTIVES = "simclr_tf.objectives:OBJECTIVES"
ENCODERS = "simclr_tf.models.encoders:ENCODERS"
PRESETS = "simclr_tf.config.presets:PRESETS"
OptimizerName = Literal["lars", "lamb", "sgd", "adamw"]
Scaling = Literal["linear", "sqrt", "none"]
SCALING_HELP = "linear: base * batch / 256; sqrt: base * sqrt(batch); none: base."
OneProcessStrategy = Literal["auto", "one_device", "mirrored"]
Strategy = Literal[OneProcessStrategy, "multi_worker", "tpu"]
Cluster = Literal["auto", "tf_config", "slurm", "none"]
Arithmetic = Literal["float32", "bfloat16"]
PrecisionName = Literal[Arithmetic, "auto"]
LABELLED_PRECISION_HELP = (
    "float32, or bfloat16 for the network's arithmetic in training (the loss and the "
    "weights stay float32, and so does what is tested and kept); auto: bfloat16 if it "
    "is faster on this device; a continued training keeps its first precision."
)
PRESET_HELP = (
    "Named experiment to start from. If unset, the sizes of the images and the device "
    "choose one, and a line tells which; demo without --data."
)
