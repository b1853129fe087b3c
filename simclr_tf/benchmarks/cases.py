"""The cases of each benchmark, by its name."""

from simclr_tf.benchmarks import (
    data_scale_cases,
    loss_cases,
    memory_cases,
    probe_cases,
    step_cases,
    view_cases,
)
from simclr_tf.errors import require, unknown_choice

_CASES = {
    "views": view_cases.cases,
    "step": step_cases.step_cases,
    "end_to_end": step_cases.end_to_end_cases,
    "objectives": step_cases.objective_cases,
    "loss": loss_cases.cases,
    "memory": memory_cases.cases,
    "data_scale": data_scale_cases.cases,
    "probes": probe_cases.cases,
}


def cases_of(benchmark, config, folder):
    """Return the cases that the config selects.

    Args:
      benchmark: str, one of BENCHMARKS.
      config: BenchmarkConfig.
      folder: pathlib.Path for data, which the caller removes.

    Returns:
      list of Case; nothing is prepared yet.

    Raises:
      ConfigError: an unknown benchmark, or no case has `config.only` in its name.
    """
    if benchmark not in _CASES:
        raise unknown_choice("benchmark", benchmark, _CASES)
    found = _CASES[benchmark](config, folder)
    wanted = [case for case in found if (config.only or "") in case.name]
    require(
        wanted,
        f"`only` must be in the name of a case of {benchmark}: "
        f"{'; '.join(case.name for case in found)}.",
        only=config.only,
    )
    return wanted
