"""What `auto` chose on this machine, with the reason: on the screen and in a record."""

import dataclasses
from typing import ClassVar


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen value of an option.

    Attributes:
      name: str, the value.
      reason: str, the end of a sentence.
      requested: str, the value that was asked for, `auto` or one of the choices.
      is_usual: bool, what such devices always do: not worth a line.
      option: str, name of the option.
      title: str, the first word of its line.

    Example:
      >>> Choice("bfloat16", "as requested", "bfloat16").record()
      {'asked': 'bfloat16', 'chosen': 'bfloat16', 'because': 'as requested'}
    """

    name: str
    reason: str
    requested: str = "auto"
    is_usual: bool = False
    option: ClassVar[str] = ""
    title: ClassVar[str] = ""

    def line(self):
        """Return the line that is printed before training."""
        return (
            f"{self.title:12}{self.name}: {self.reason} "
            f"(--{self.option}={self.requested})"
        )

    def record(self):
        """Return the entries of config.json: asked, chosen, because."""
        return {"asked": self.requested, "chosen": self.name, "because": self.reason}
