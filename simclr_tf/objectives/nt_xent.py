"""NT-Xent, the objective of SimCLR."""

from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_positive


@dataclass(frozen=True)
class NTXentOptions(GuestOptions):
    """Options of NT-Xent."""

    name: str = option("nt_xent", "What is learned, by its name.")
    temperature: float = option(0.1, "Softmax temperature (paper: 0.1; CIFAR: 0.5).")
    normalize: bool = option(True, "Compare l2-normalised projections.")
    chunk_size: int | None = option(
        None,
        "Anchors compared with all candidates at a time, which bounds the memory; if "
        "unset, all at once up to 64 MiB of logits, and then as many as stay in a "
        "processor's cache.",
        resumable=True,
    )

    def check(self):
        require_positive(temperature=self.temperature, chunk_size=self.chunk_size)


class NTXent:
    """NT-Xent."""

    Options = NTXentOptions
