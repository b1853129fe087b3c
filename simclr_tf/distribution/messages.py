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
      passes: int, through encoder and head: one for all views of a size.
    """

    gradients: int
    figures: int
    norm_channels: tuple[int, ...]
    features: int
    passes: int = 1


def model_messages(sizes: StepSizes, replicas: int) -> tuple[Message, ...]:
    """List the messages of a step that do not depend on the objective.

    Without micro-batches and without an online probe. None of these depends on the
    batch.

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
    return (
        sum_message("gradients", [sizes.gradients + sizes.figures]),
        *sizes.passes * norm_messages(sizes.norm_channels, replicas),
        moments_message(sizes.features, "figures", replicas),
    )


def sum_message(term: str, shape: Sequence[int], bytes_each: int = _FLOAT32) -> Message:
    """Return the message of `sum_over_replicas`, or of a gather.

    Args:
      term: str.
      shape: of the tensor; of a gather, that of the rows of all replicas together.
      bytes_each: int, of one number: 4 for float32, 8 for int64.

    Example:
      >>> sum_message("state", [256, 128]).bytes, sum_message("loss", []).bytes
      (131072, 4)
    """
    return Message(term, math.prod(shape) * bytes_each)


def moments_message(channels: int, term: str, replicas: int) -> Message:
    """Return the message of `moments_over_replicas`.

    Two float32 numbers a channel and replica for up to 8 replicas; for more, two
    float64 numbers a channel.

    Example:
      >>> [moments_message(64, "batch norm", r).bytes for r in (2, 8, 16, 512)]
      [1024, 4096, 1024, 1024]
    """
    if replicas <= STACKED_REPLICAS:
        return sum_message(term, [replicas, 2, channels])
    return sum_message(term, [2, channels], _FLOAT64)


def norm_messages(norm_channels: Iterable[int], replicas: int) -> tuple[Message, ...]:
    """List the messages of one pass through trained batch norms, there and back.

    Args:
      norm_channels: of int, channels of each synchronized batch norm.
      replicas: int.

    Example:
      >>> [message.bytes for message in norm_messages([8, 16], 64)]
      [128, 64, 256, 128]
    """
    return tuple(
        message
        for channels in norm_channels
        for message in (
            moments_message(channels, "batch norm", replicas),
            sum_message("batch norm", [2, channels]),
        )
    )


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
    views = sum_message("projections", [global_batch_size, 2, num_projections])
    in_blocks = sum_message("projections", [global_batch_size, 2, 2])
    return views, views if dense else in_blocks


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
    """The messages of a step of R replicas, and its time if nothing overlaps.

    Attributes:
      replicas, global_batch_size: int.
      messages: int, their number.
      term_bytes: dict of a term to the bytes of its messages.
      compute_seconds: float, of one replica's images.
      term_seconds: dict of a term to the seconds of its messages.
    """

    replicas: int
    global_batch_size: int
    messages: int
    term_bytes: dict[str, int]
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
    terms = {
        term: [message for message in messages if message.term == term]
        for term in dict.fromkeys(message.term for message in messages)
    }
    return ExpectedStep(
        replicas,
        global_batch_size,
        len(messages),
        {term: sum(m.bytes for m in own) for term, own in terms.items()},
        global_batch_size / replicas / images_per_second,
        {term: link.seconds(own, replicas) for term, own in terms.items()},
    )
