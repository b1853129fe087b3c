"""NT-Logistic, which the paper compares NT-Xent with."""

from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_positive


@dataclass(frozen=True)
class NTLogisticOptions(GuestOptions):
    """Options of NT-Logistic."""

    name: str = option("nt_logistic", "What is learned, by its name.")
    temperature: float = option(0.1, "Divides the similarities.")
    semi_hard: bool = option(False, "Semi-hard negatives instead of all.")

    def check(self):
        require_positive(temperature=self.temperature)


class NTLogistic:
    """NT-Logistic."""

    Options = NTLogisticOptions
