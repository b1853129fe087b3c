"""Networks: encoders by depth and name, projection heads, and what they cost."""

from simclr_tf.models.classifier import (
    FREEZABLE,
    LOGITS,
    classifier_network,
    depth_groups,
    freeze_until,
    split_classifier,
)
from simclr_tf.models.cost import count_parameters, flops_per_example, flops_per_image
from simclr_tf.models.description import (
    describe_network,
    network_from_description,
    set_weights_by_name,
    variables_by_name,
    weights_by_name,
)
from simclr_tf.models.endpoints import ENDPOINTS, endpoints, with_endpoints
from simclr_tf.models.fresh_copy import fresh_copy
from simclr_tf.models.heads import ProjectionHead
from simclr_tf.models.resnet import resnet
from simclr_tf.models.synchronized_batch_norm import SynchronizedBatchNormalization
from simclr_tf.models.synchronized_copy import synchronized_copy
from simclr_tf.models.zoo import ENCODERS, build_encoder, check_encoder

__all__ = [
    "ENCODERS",
    "ENDPOINTS",
    "FREEZABLE",
    "LOGITS",
    "ProjectionHead",
    "SynchronizedBatchNormalization",
    "build_encoder",
    "check_encoder",
    "classifier_network",
    "count_parameters",
    "depth_groups",
    "describe_network",
    "endpoints",
    "flops_per_example",
    "flops_per_image",
    "freeze_until",
    "fresh_copy",
    "network_from_description",
    "resnet",
    "set_weights_by_name",
    "variables_by_name",
    "weights_by_name",
    "split_classifier",
    "synchronized_copy",
    "with_endpoints",
]
