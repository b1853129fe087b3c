"""Networks: encoders by name, projection heads, classifiers, and what they cost.

`encoders.py` is the list of encoders, `family.py` describes what each of them answers;
nothing here imports TensorFlow before a network is built.
"""

from simclr_tf.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "averaged_network": ("AveragedNetwork", "AveragedPair"),
        "check_encoder": ("check_encoder", "fitting_encoder", "size_multiple"),
        "classifier": (
            "LOGITS",
            "check_endpoint",
            "classifier_network",
            "depth_groups",
            "freeze_until",
            "split_classifier",
        ),
        "cost": ("count_parameters", "flops_per_example", "flops_per_image"),
        "description": (
            "describe_network",
            "network_from_description",
            "set_weights_by_name",
            "variables_by_name",
            "weights_by_name",
        ),
        "encoders": ("ENCODERS", "family_of"),
        "endpoints": ("endpoints", "with_endpoints"),
        "fresh_copy": ("fresh_copy",),
        "heads": ("ProjectionHead",),
        "resnet": ("resnet",),
        "synchronized_batch_norm": ("SynchronizedBatchNormalization",),
        "synchronized_copy": ("synchronized_copy",),
        "vision_transformer": ("vision_transformer",),
    },
)
