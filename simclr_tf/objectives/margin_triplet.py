"""Margin triplet, which the paper compares NT-Xent with."""

from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_not_negative


@dataclass(frozen=True)
class MarginTripletOptions(GuestOptions):
    """Options of margin triplet."""

    name: str = option("margin_triplet", "What is learned, by its name.")
    margin: float = option(0.8, "Margin, in units of cosine similarity.")
    semi_hard: bool = option(False, "Semi-hard negatives instead of all.")

    def check(self):
        require_not_negative(margin=self.margin)


class MarginTriplet:
    """Margin triplet."""

    Options = MarginTripletOptions
