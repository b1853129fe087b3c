"""What the replicas send each other in a step: counted on paper, without TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

# Up to this number of replicas, `moments_over_replicas` stacks the moments of all.
STACKED_REPLICAS = 8
_FLOAT32, _FLOAT64 = 4, 8


@dataclasses.dataclass(frozen=True)
class Message:
    """One all-reduce of a step.

    Attributes:
      term: str, what it is for.
      bytes: int, size of the tensor that is summed over the replicas.
    """

    term: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class StepSizes:
    """The sizes of a model that its messages depend on.

    Attributes:
      gradients: int, numbers in all gradients.
      figures: int, numbers that are summed together with them: loss and figures.
      norm_channels: tuple of int, channels of each synchronized batch norm.
      features: int, length F of a feature.
    """

    gradients: int
    figures: int
    norm_channels: tuple[int, ...]
    features: int


def model_messages(sizes: StepSizes, replicas: int) -> tuple[Message, ...]:
    """List the messages of a step that do not depend on the objective.

    For a pass of all views through the networks, without micro-batches and without
    an online probe. None of these depends on the batch.

    Args:
      sizes: StepSizes.
      replicas: int >= 2.

    Returns:
      tuple of Message.

    Example:
      >>> sizes = StepSizes(1000, 4, (8, 16), 16)
      >>> [(m.term, m.bytes) for m in model_messages(sizes, 64)][:3]
      [('gradients', 4016), ('batch norm', 128), ('batch norm', 64)]
    """
    norms = [
        message
        for channels in sizes.norm_channels
        for message in (
            moments_message(channels, "batch norm", replicas),
            Message("batch norm", 2 * channels * _FLOAT32),
        )
    ]
    return (
        Message("gradients", (sizes.gradients + sizes.figures) * _FLOAT32),
        *norms,
        moments_message(sizes.features, "figures", replicas),
    )


def moments_message(channels: int, term: str, replicas: int) -> Message:
    """Return the message of `moments_over_replicas`.

    Two float32 numbers a channel and replica for up to 8 replicas; for more, two
    float64 numbers a channel.

    Example:
      >>> [moments_message(64, "batch norm", r).bytes for r in (2, 8, 16, 512)]
      [1024, 4096, 1024, 1024]
    """
    if replicas <= STACKED_REPLICAS:
        return Message(term, 2 * channels * replicas * _FLOAT32)
    return Message(term, 2 * channels * _FLOAT64)


def pair_messages(
    global_batch_size: int, num_projections: int, *, dense: bool
) -> tuple[Message, ...]:
    """List the messages of a loss that compares two views of all images.

    Args:
      global_batch_size: int, G.
      num_projections: int, D.
      dense: bool, all logits at once: the gradient of all candidates is summed; in
        blocks, two numbers of each anchor are gathered instead.

    Returns:
      tuple of Message.

    Example:
      >>> [m.bytes for m in pair_messages(4096, 128, dense=True)]
      [4194304, 4194304]
      >>> [m.bytes for m in pair_messages(4096, 128, dense=False)]
      [4194304, 65536]
    """
    views = 2 * global_batch_size * num_projections * _FLOAT32
    backward = views if dense else 2 * global_batch_size * 2 * _FLOAT32
    return Message("projections", views), Message("projections", backward)


def queue_message(global_batch_size: int, num_projections: int) -> Message:
    """Return the message of one queue: the rows of the batch that enter it.

    Example:
      >>> queue_message(256, 128).bytes
      131072
    """
    return Message("state", global_batch_size * num_projections * _FLOAT32)


@dataclasses.dataclass(frozen=True)
class Link:
    """How fast replicas reach each other.

    Attributes:
      bytes_per_second: float > 0, of one replica in each direction.
      latency_seconds: float >= 0, of one hop.
    """

    bytes_per_second: float
    latency_seconds: float

    def seconds(self, messages: Iterable[Message], replicas: int) -> float:
        """Estimate the time of messages that are sent one after the other.

        An all-reduce of b bytes over R replicas in two pipelined trees passes
        2 ceil(log2 R) hops, and every replica sends and receives 2 b (R - 1) / R bytes.

        Source: Sanders, Speck & Traeff (2009), section 4; the lower bound in bytes:
        Patarasuk & Yuan (2009), theorem 1.

        Example:
          >>> link = Link(1e9, 1e-6)
          >>> round(link.seconds([Message("gradients", 10**9)], 2), 6)
          1.000002
        """
        hops = 2 * math.ceil(math.log2(replicas))
        share = 2 * (replicas - 1) / replicas
        return sum(
            hops * self.latency_seconds + share * message.bytes / self.bytes_per_second
            for message in messages
        )


@dataclasses.dataclass(frozen=True)
class ExpectedStep:
    """The time of a step of R replicas, if nothing overlaps.

    Attributes:
      replicas, global_batch_size: int.
      compute_seconds: float, of one replica's images.
      term_seconds: dict of a term to the seconds of its messages.
    """

    replicas: int
    global_batch_size: int
    compute_seconds: float
    term_seconds: dict[str, float]

    @property
    def seconds(self) -> float:
        """Time of the whole step."""
        return self.compute_seconds + sum(self.term_seconds.values())

    @property
    def efficiency(self) -> float:
        """Part of the time in which the replicas compute."""
        return self.compute_seconds / self.seconds

    @property
    def longest_term(self) -> str:
        """The term whose messages take longest."""
        return max(self.term_seconds, key=self.term_seconds.__getitem__)


def expected_step(
    messages: Sequence[Message],
    link: Link,
    *,
    replicas: int,
    global_batch_size: int,
    images_per_second: float,
) -> ExpectedStep:
    """Estimate a step from its messages, the link and the speed of one replica.

    Args:
      messages: of the step, see `model_messages`.
      link: Link.
      replicas: int >= 2.
      global_batch_size: int.
      images_per_second: float, training images of one replica alone.

    Returns:
      ExpectedStep.

    Example:
      >>> step = expected_step([Message("gradients", 10**9)], Link(1e10, 0.0),
      ...     replicas=2, global_batch_size=100, images_per_second=100)
      >>> step.longest_term, round(step.seconds, 3), round(step.efficiency, 3)
      ('gradients', 0.6, 0.833)
    """
    terms = dict.fromkeys(message.term for message in messages)
    return ExpectedStep(
        replicas,
        global_batch_size,
        global_batch_size / replicas / images_per_second,
        {
            term: link.seconds([m for m in messages if m.term == term], replicas)
            for term in terms
        },
    )
