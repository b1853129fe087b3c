"""Replicas and workers: the only code of the package that uses tf.distribute."""

from simclr_tf.distribution.agreement import largest_over_workers, require_agreement
from simclr_tf.distribution.collectives import (
    SAME_ON_ALL_REPLICAS,
    assign_on_replicas,
    gather_across_replicas,
    in_several_replicas,
    keep_or_restore,
    num_replicas,
    replica_offset,
    require_equal_rows,
    run_on_replicas,
    scatter_on_replicas,
    stack_over_replicas,
    sum_over_replicas,
    uses_merge_calls,
)
from simclr_tf.distribution.inputs import (
    distribute_batches,
    requests_batches_ahead,
    require_divisible,
)
from simclr_tf.distribution.local_copies import local_copies
from simclr_tf.distribution.lost_peers import named_lost_peers
from simclr_tf.distribution.messages import (
    ExpectedStep,
    Link,
    Message,
    StepSizes,
    expected_step,
    model_messages,
    moments_message,
    norm_messages,
    pair_messages,
    sum_message,
)
from simclr_tf.distribution.moments import moments_over_replicas
from simclr_tf.distribution.strategies import (
    belongs_to_scope,
    cluster_of,
    is_chief,
    is_distributed,
    is_tpu,
    make_strategy,
)

__all__ = [
    "ExpectedStep",
    "Link",
    "Message",
    "StepSizes",
    "expected_step",
    "model_messages",
    "pair_messages",
    "SAME_ON_ALL_REPLICAS",
    "assign_on_replicas",
    "belongs_to_scope",
    "cluster_of",
    "distribute_batches",
    "gather_across_replicas",
    "in_several_replicas",
    "is_chief",
    "is_distributed",
    "is_tpu",
    "keep_or_restore",
    "largest_over_workers",
    "local_copies",
    "make_strategy",
    "moments_message",
    "moments_over_replicas",
    "named_lost_peers",
    "norm_messages",
    "num_replicas",
    "replica_offset",
    "requests_batches_ahead",
    "require_agreement",
    "require_divisible",
    "require_equal_rows",
    "run_on_replicas",
    "scatter_on_replicas",
    "stack_over_replicas",
    "sum_message",
    "sum_over_replicas",
    "uses_merge_calls",
]
