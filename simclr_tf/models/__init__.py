"""Networks: encoders by name, projection heads, classifiers, and their cost.

`encoders.py` is the list of encoders, `family.py` their interface; TensorFlow is
imported only when a network is built.
"""

from typing import TYPE_CHECKING

from simclr_tf.lazy import public_names

if TYPE_CHECKING:
    from simclr_tf.models.averaged_network import AveragedNetwork as AveragedNetwork
    from simclr_tf.models.averaged_network import AveragedPair as AveragedPair
    from simclr_tf.models.check_encoder import check_encoder as check_encoder
    from simclr_tf.models.check_encoder import fitting_encoder as fitting_encoder
    from simclr_tf.models.check_encoder import size_multiple as size_multiple
    from simclr_tf.models.check_encoder import takes_one_size as takes_one_size
    from simclr_tf.models.classifier import LOGITS as LOGITS
    from simclr_tf.models.classifier import check_endpoint as check_endpoint
    from simclr_tf.models.classifier import classifier_network as classifier_network
    from simclr_tf.models.classifier import depth_groups as depth_groups
    from simclr_tf.models.classifier import freeze_until as freeze_until
    from simclr_tf.models.classifier import split_classifier as split_classifier
    from simclr_tf.models.description import describe_network as describe_network
    from simclr_tf.models.description import (
        network_from_description as network_from_description,
    )
    from simclr_tf.models.description import set_weights_by_name as set_weights_by_name
    from simclr_tf.models.description import variables_by_name as variables_by_name
    from simclr_tf.models.description import weights_by_name as weights_by_name
    from simclr_tf.models.encoders import ENCODERS as ENCODERS
    from simclr_tf.models.encoders import family_of as family_of
    from simclr_tf.models.endpoints import endpoints as endpoints
    from simclr_tf.models.endpoints import with_endpoints as with_endpoints
    from simclr_tf.models.fresh_copy import fresh_copy as fresh_copy
    from simclr_tf.models.heads import PredictionHead as PredictionHead
    from simclr_tf.models.heads import ProjectionHead as ProjectionHead
    from simclr_tf.models.resnet import resnet as resnet
    from simclr_tf.models.size_and_flops import cost_per_example as cost_per_example
    from simclr_tf.models.size_and_flops import count_parameters as count_parameters
    from simclr_tf.models.size_and_flops import flops_per_example as flops_per_example
    from simclr_tf.models.size_and_flops import flops_per_image as flops_per_image
    from simclr_tf.models.synchronized_batch_norm import (
        SynchronizedBatchNormalization as SynchronizedBatchNormalization,
    )
    from simclr_tf.models.synchronized_copy import (
        synchronized_copy as synchronized_copy,
    )
    from simclr_tf.models.vision_transformer import (
        vision_transformer as vision_transformer,
    )

__all__ = public_names(__name__, __file__)
