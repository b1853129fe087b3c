"""Networks: encoders by name, projection heads, classifiers, and what they cost.

`encoders.py` is the list of encoders; nothing here imports TensorFlow before a network
is built.
"""

from simclr_tf.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "averaged_network": ("AveragedNetwork",),
        "classifier": (
            "FREEZABLE",
            "LOGITS",
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
        "endpoints": ("ENDPOINTS", "endpoints", "with_endpoints"),
        "fresh_copy": ("fresh_copy",),
        "heads": ("ProjectionHead",),
        "resnet": ("resnet",),
        "synchronized_batch_norm": ("SynchronizedBatchNormalization",),
        "synchronized_copy": ("synchronized_copy",),
        "zoo": ("build_encoder", "check_encoder"),
    },
)
