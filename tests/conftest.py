"""Four logical CPU devices for the whole session: replicas without hardware."""

import gc
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# What was measured on this processor, once for all processes of the suite.
os.environ["XDG_CACHE_HOME"] = str(pathlib.Path(__file__).parents[1] / "build/cache")

NUM_DEVICES = 4
# Files of more than 15 seconds, the longest first.
LONGEST = """
    objectives/test_every_objective objectives/test_toy_objective
    architecture/test_readme tools/test_main_job export/test_export_formats
    report/test_unreadable_images training/test_run tools/test_multi_worker
    tools/test_next_command tools/test_refused_before_work golden/test_golden
    golden/test_old_run losses/test_losses_over_replicas training/test_exact_resume
    models/test_toy_family tools/test_few_label_tools training/test_replica_equality
    report/test_run_reports losses/test_every_loss augment/test_augment_views
    export/test_google_checkpoints training/test_hostile_keras_files
    training/test_simclr_over_replicas training/test_one_process
    objectives/test_clustering_objectives studies/test_study_cells
    benchmarks/test_message_counts
""".split()


def pytest_sessionstart(session):
    """Prepare TensorFlow, except where tests are only handed out to other processes."""
    if session.config.getoption("dist", "no") != "no":
        return
    import tensorflow as tf

    from tests.quick_tracing import without_grappler

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * NUM_DEVICES,
    )
    without_grappler()
    gc.disable()  # While the tests are imported.


def pytest_collection_modifyitems(items):
    """Long files first: begun last, they would keep one process alone at the end."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(_name(item.path), len(places)))


def _name(path):
    return f"{path.parent.name}/{path.stem}"


def pytest_collection_finish():
    from tests.quick_tracing import collect_garbage_rarely

    collect_garbage_rarely()
