"""Cases of each benchmark, by its name."""

from simclr_tf.benchmarks import data_scale, loss, probes, step, views
from simclr_tf.errors import require, unknown_choice

_CASES = {
    "views": views.cases,
    "step": step.step_cases,
    "end_to_end": step.end_to_end_cases,
    "loss": loss.cases,
    "data_scale": data_scale.cases,
    "probes": probes.cases,
}


def cases_of(benchmark, config, folder):
    """Return the cases that the config asks for.

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
