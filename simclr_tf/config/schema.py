"""Everything that declares options, in one place to import from.

`values.py` has the types of options and the usual checks, `sections.py` groups of
options and guests, `flat.py` their dotted names.
"""

from simclr_tf.config.flat import (
    differences,
    dotted,
    flatten,
    guest_class,
    hints_of,
    known_options,
    override,
    part_of,
    to_dict,
    unknown_option,
    walk_options,
)
from simclr_tf.config.sections import (
    LARGEST_SEED,
    LARGEST_SIDE,
    MOST_REPETITIONS,
    MOST_REPLICAS,
    GuestOptions,
    Section,
    all_options,
    find_guest,
    flag_name,
    guest,
    guest_names,
    guest_options,
    help_of,
    is_resumable,
    option,
    read_registry,
)
from simclr_tf.config.values import (
    require_at_least_one,
    require_below_one,
    require_fraction,
    require_not_negative,
    require_positive,
)

__all__ = [
    "LARGEST_SEED",
    "LARGEST_SIDE",
    "MOST_REPETITIONS",
    "MOST_REPLICAS",
    "GuestOptions",
    "Section",
    "all_options",
    "differences",
    "dotted",
    "find_guest",
    "flag_name",
    "flatten",
    "guest",
    "guest_class",
    "guest_names",
    "guest_options",
    "help_of",
    "hints_of",
    "is_resumable",
    "known_options",
    "option",
    "override",
    "part_of",
    "read_registry",
    "require_at_least_one",
    "require_below_one",
    "require_fraction",
    "require_not_negative",
    "require_positive",
    "to_dict",
    "unknown_option",
    "walk_options",
]
