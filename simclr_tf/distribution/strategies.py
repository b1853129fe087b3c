"""Strategies: one device, several GPUs, several machines, or a TPU."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

from simclr_tf.array_types import Variable
from simclr_tf.config.shared_choices import Cluster as ClusterSource
from simclr_tf.config.shared_choices import Strategy
from simclr_tf.config.values import literal_choices
from simclr_tf.distribution.cluster import Cluster, Worker, read_tf_config
from simclr_tf.distribution.slurm import gpus_of_task, read_slurm, tasks_of_step
from simclr_tf.errors import ClusterError, require, unknown_choice
from simclr_tf.files import plain_reason
from simclr_tf.machine import processor_name, usable_cores

STRATEGIES = literal_choices(Strategy)
CLUSTERS = literal_choices(ClusterSource)
_KEYS_APART = 100_000
_GRPC = "grpc://"
_TPU_WAIT_SECONDS = 10.0


def make_strategy(
    name: str = "auto",
    *,
    replicas: int | None = None,
    tpu: str | None = None,
    cluster: str | None = None,
    collective_timeout_seconds: float = 300.0,
) -> tf.distribute.Strategy:
    """Make the strategy under which a run builds its variables and steps.

    Call it before any other use of TensorFlow: logical devices and connections to other
    workers cannot be set up later.

    Args:
      name: str. `one_device`: no replicas. `mirrored`: the GPUs of this machine, or
        logical CPU devices. `multi_worker`: one process a machine, named by
        `cluster`.
        `tpu`: the TPU of this machine. `auto`: the strategy whose `scope()` the caller
        is in; else tpu if one is named, multi_worker if `cluster` names several
        workers, mirrored if `replicas` > 1 or there are several GPUs; else one_device.
      replicas: int >= 1, devices for `mirrored`; all devices if None.
      tpu: str, name or address of a TPU, or "local"; TPU_NAME of the environment if
        None.
      cluster: str, who names the workers. `tf_config`: the variable TF_CONFIG.
        `slurm`: the step that srun started. `auto`: TF_CONFIG if set, else a Slurm step
        of several tasks. `none`: no cluster, whatever the environment. None (the value,
        for Python callers): TF_CONFIG if set.
      collective_timeout_seconds: float > 0, how long `multi_worker` waits for others.

    Returns:
      tf.distribute.Strategy; TensorFlow's default one for one device.

    Raises:
      ConfigError: an unknown name, or arguments that exclude each other.
      ClusterError: missing devices or workers.

    Example:
      >>> make_strategy("one_device").num_replicas_in_sync
      1
    """
    if name not in STRATEGIES:
        raise unknown_choice("strategy", name, STRATEGIES)
    if cluster not in (None, *CLUSTERS):
        raise unknown_choice("cluster", cluster, CLUSTERS)
    require(
        cluster in (None, "auto", "none") or name in ("auto", "multi_worker"),
        "`cluster` needs --strategy=multi_worker (or auto).",
        cluster=cluster,
        strategy=name,
    )
    if tf.distribute.has_strategy():
        return _active_strategy(name, replicas, tpu)
    tpu = tpu or os.environ.get("TPU_NAME")
    found = None
    if name == "multi_worker" or (name == "auto" and not tpu):
        found = _find_cluster(cluster)
    if name == "auto":
        name = _fitting_name(replicas, tpu, found)
    require(
        replicas in (None, 1) or name == "mirrored",
        "`replicas` needs --strategy=mirrored (or auto).",
        strategy=name,
        replicas=replicas,
    )
    if name == "mirrored":
        return _mirrored(replicas)
    if name == "multi_worker":
        return _multi_worker(found or _no_cluster(cluster), collective_timeout_seconds)
    if name == "tpu":
        return _tpu(tpu)
    return tf.distribute.get_strategy()


def is_distributed(strategy: tf.distribute.Strategy) -> bool:
    """Tell whether a strategy is not TensorFlow's default one, which is one device."""
    with strategy.scope():
        return tf.distribute.has_strategy()


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Tell whether a strategy trains on TPUs."""
    kinds = (tf.distribute.TPUStrategy, tf.distribute.experimental.TPUStrategy)
    return isinstance(strategy, kinds)


def gpus_of(strategy: tf.distribute.Strategy) -> list[dict[str, Any]]:
    """Find the GPUs of this machine that a strategy computes on.

    Args:
      strategy: tf.distribute.Strategy.

    Returns:
      list of dicts, TensorFlow's details of each ("device_name",
      "compute_capability"); empty where it computes on the processor.
    """
    gpus = tf.config.get_visible_devices("GPU")
    devices = strategy.extended.worker_devices if is_distributed(strategy) else ()
    if devices and not any("GPU" in device for device in devices):
        return []
    return [tf.config.experimental.get_device_details(gpu) for gpu in gpus]


def devices_text(strategy: tf.distribute.Strategy) -> str:
    """Name what a strategy computes on, for the reader of a time.

    Args:
      strategy: tf.distribute.Strategy.

    Returns:
      str, such as "2 cores of AMD EPYC" or "4 x NVIDIA H200".

    Example:
      >>> devices_text(tf.distribute.get_strategy()).split()[0].isdecimal()
      True
    """
    replicas = strategy.num_replicas_in_sync
    if is_tpu(strategy):
        return f"{replicas} TPU cores"
    gpus = gpus_of(strategy)
    if gpus:
        names = {gpu.get("device_name") or "GPU" for gpu in gpus}
        return f"{replicas} x {' and '.join(sorted(names))}"
    cores, cluster = usable_cores(), cluster_of(strategy)
    machines = 1 if cluster is None else len(cluster.workers)
    of = f"{machines} machines, each with " if machines > 1 else ""
    return f"{of}{cores} core{'s' * (cores > 1)} of {processor_name()}"


def belongs_to_scope(variable: Variable) -> bool:
    """Tell whether a variable is on the replicas of the strategy in scope."""
    if not tf.distribute.has_strategy():
        return True
    home = getattr(variable, "distribute_strategy", None)
    return home is tf.distribute.get_strategy()


def cluster_of(strategy: tf.distribute.Strategy) -> Cluster | None:
    """Return the Cluster of a strategy over several machines; None for all others."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return None
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().as_dict()
    workers = [
        Worker(job, number, address)
        for job in ("chief", "worker")
        for number, address in enumerate(jobs.get(job, []))
    ]
    own = (
        [(w.job, w.number) for w in workers].index(
            (resolver.task_type, resolver.task_id)
        )
        if workers
        else 0
    )
    return Cluster(tuple(workers), own) if len(workers) > 1 else None


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Tell whether this process is the one that writes files."""
    cluster = cluster_of(strategy)
    return cluster is None or cluster.index == 0


def _find_cluster(source):
    """Return the Cluster that a choice of CLUSTERS (or None) leads to, or None."""
    text = os.environ.get("TF_CONFIG")
    if source == "slurm" or (source == "auto" and not text and tasks_of_step() > 1):
        return read_slurm()
    if source == "tf_config" or (text and source != "none"):
        return read_tf_config(text)
    return None


def _no_cluster(source):
    require(
        source != "none",
        "`cluster` must not be none for --strategy=multi_worker.",
        cluster=source,
    )
    return read_slurm() if tasks_of_step() else read_tf_config(None)


def _fitting_name(replicas, tpu, cluster):
    if tpu:
        return "tpu"
    if cluster is not None and len(cluster.workers) > 1:
        return "multi_worker"
    wanted = replicas or len(tf.config.list_physical_devices("GPU"))
    return "mirrored" if wanted > 1 else "one_device"


def _active_strategy(name, replicas, tpu):
    strategy = tf.distribute.get_strategy()
    require(
        name == "auto" and replicas is None and tpu is None,
        "Inside `with strategy.scope():` that strategy is used: leave `strategy`, "
        "`replicas` and `tpu` unset there.",
        strategy=name,
        replicas=replicas,
        tpu=tpu,
    )
    require(
        not isinstance(
            strategy,
            (
                tf.distribute.experimental.ParameterServerStrategy,
                tf.distribute.experimental.CentralStorageStrategy,
            ),
        ),
        "The strategy must be synchronous: use make_strategy, MirroredStrategy, "
        "MultiWorkerMirroredStrategy or TPUStrategy.",
        strategy=type(strategy).__name__,
    )
    return strategy


def _mirrored(replicas):
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU" and replicas is not None:
        _split_cpu(replicas)
    devices = tf.config.list_logical_devices(kind)
    require(
        kind == "GPU" or replicas is not None or len(devices) > 1,
        "--strategy=mirrored found no GPU: --replicas=N makes N logical CPU devices.",
        strategy="mirrored",
        replicas=replicas,
    )
    if len(devices) < (replicas or 1):
        raise ClusterError(
            f"There are only {len(devices)} {kind} devices: use --replicas="
            f"{len(devices)} or less. Received: replicas={replicas}."
        )
    # Strategies of one process would otherwise share the keys of their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += _KEYS_APART
    names = [device.name for device in devices[:replicas]]
    return tf.distribute.MirroredStrategy(names)


def _split_cpu(replicas):
    """Make logical CPU devices, unless there are enough already."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [None]) >= replicas:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * replicas
        )
    except RuntimeError as error:
        raise ClusterError(
            "Logical CPU devices must be made before TensorFlow is used: start a new "
            "process, or call simclr_tf.distribution.make_strategy first. "
            f"Received: replicas={replicas}."
        ) from error


def _multi_worker(cluster, timeout_seconds):
    cluster.wait_for_peers(timeout_seconds)
    options = tf.distribute.experimental.CommunicationOptions(
        timeout_seconds=timeout_seconds
    )
    try:
        gpus = tf.config.list_physical_devices("GPU")
        if cluster.by_slurm:
            gpus = [gpus[i] for i in gpus_of_task(len(gpus), cluster)]
            tf.config.set_visible_devices(gpus, "GPU")
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(cluster.jobs),
            task_type=cluster.own.job,
            task_id=cluster.own.number,
            num_accelerators={"GPU": len(gpus)},
            rpc_layer="grpc",
        )
        return tf.distribute.MultiWorkerMirroredStrategy(
            cluster_resolver=resolver, communication_options=options
        )
    except RuntimeError as error:
        raise ClusterError(
            "The connection to other workers must be made before TensorFlow is used: "
            "start a new process, or call simclr_tf.distribution.make_strategy first "
            f"of all ({plain_reason(error)})."
        ) from error
    except tf.errors.OpError as error:
        raise ClusterError(
            f"{cluster.own} could not join the other workers: {plain_reason(error)}. "
            "Start all of them again."
        ) from error


def _tpu(name):
    named = "the TPU of this machine" if name in (None, "local") else f"TPU {name}"
    try:
        if name and name.startswith(_GRPC):  # TensorFlow would wait forever.
            Worker("tpu", 0, name.removeprefix(_GRPC)).answers(_TPU_WAIT_SECONDS)
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, OSError, ImportError, tf.errors.OpError) as error:
        raise ClusterError(
            f"Cannot use {named}: {plain_reason(error)}. Check --tpu (or TPU_NAME), "
            "and that TensorFlow was installed for TPUs (tensorflow-tpu)."
        ) from error
    if strategy.extended.num_hosts > 1:
        raise ClusterError(
            "Images are read by the host beside the TPU: use a slice of one host. "
            f"Received: {strategy.extended.num_hosts} hosts."
        )
    return strategy
