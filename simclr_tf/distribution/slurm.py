"""The cluster of a Slurm step: `srun` starts one process for each worker."""

import os

import tensorflow as tf

from simclr_tf.distribution.cluster import Cluster, Worker
from simclr_tf.errors import ClusterError

_NEEDED = (
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_NODELIST",
    "SLURM_STEP_TASKS_PER_NODE",
)
# Below the ports that Linux gives to outgoing connections; a range for each job.
_FIRST_PORT, _RANGES, _RANGE = 10_000, 300, 64


def tasks_of_step():
    """Count the processes that `srun` started with this one; 0 outside of a step."""
    number = os.environ.get("SLURM_STEP_NUM_TASKS", "")
    inside = all(name in os.environ for name in _NEEDED)
    return int(number) if inside and number.isdecimal() else 0


def read_slurm():
    """Read the cluster of the Slurm step that this process belongs to.

    TensorFlow's SlurmClusterResolver reads host names and tasks from Slurm's variables.
    The resolver sorts hosts by name and takes the own place from SLURM_PROCID, which
    fits only if Slurm numbers the tasks in the same order (n9 before n10 does not); so
    the own place is found by node name and number on the node where Slurm tells them.

    Returns:
      Cluster; ports follow from the numbers of job and step.

    Raises:
      ClusterError: not in a step, or variables that describe no cluster.
    """
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing:
        raise ClusterError(_not_in_a_step(missing))
    first_port = _first_port()
    try:
        addresses = _addresses(first_port)
        own = addresses[_own_index(addresses, first_port)]
    except (ValueError, RuntimeError, IndexError, ZeroDivisionError) as error:
        received = ", ".join(f"{name}={os.environ[name]}" for name in _NEEDED)
        raise ClusterError(
            "Slurm's variables describe no cluster with this process in it "
            f"({' '.join(str(error).split())}): start all workers with one `srun "
            f"simclr-tf pretrain ...`. Received: {received}."
        ) from error
    workers = [Worker("worker", i, address) for i, address in enumerate(addresses)]
    return Cluster(tuple(workers), addresses.index(own), by_slurm=True)


def gpus_of_task(visible, cluster):
    """Divide the GPUs of a node among the workers on it, unless Slurm has done so.

    Args:
      visible: int, GPUs that this process sees.
      cluster: Cluster of `read_slurm`.

    Returns:
      range of int, the GPUs of this process.

    Raises:
      ClusterError: fewer GPUs than workers on this node.
    """
    host, _ = cluster.own.endpoint
    here = [worker for worker in cluster.workers if worker.endpoint[0] == host]
    on_node = os.environ.get("SLURM_GPUS_ON_NODE", "")
    was_divided = "SLURM_GPUS_PER_TASK" in os.environ or (
        on_node.isdecimal() and visible < int(on_node)
    )
    if visible == 0 or len(here) == 1 or was_divided:
        return range(visible)
    share = visible // len(here)
    if share == 0:
        raise ClusterError(
            f"{host} has {len(here)} workers and {visible} GPUs: let "
            f"ntasks-per-node of the job be {visible}, or 1."
        )
    place = here.index(cluster.own)
    return range(place * share, (place + 1) * share)


def _addresses(first_port):
    tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=first_port,
        # One imagined GPU a task: without GPUs the resolver would divide by zero, and
        # by itself it asks nvidia-smi. `gpus_of_task` divides those that are there.
        gpus_per_node=tasks,
        gpus_per_task=1,
        auto_set_gpu=False,
    )
    return resolver.cluster_spec().as_dict()["worker"]


def _own_index(addresses, first_port):
    node, number = (os.environ.get(f"SLURM{n}") for n in ("D_NODENAME", "_LOCALID"))
    if node and number:
        return addresses.index(f"{node}:{first_port + int(number)}")
    return int(os.environ["SLURM_PROCID"])


def _first_port():
    """Choose a range of ports by job and step, so that jobs on one node differ."""
    job, step = (
        int(number) if number.isdecimal() else 0
        for number in (
            os.environ.get("SLURM_JOB_ID", ""),
            os.environ.get("SLURM_STEP_ID", ""),
        )
    )
    return _FIRST_PORT + _RANGE * ((7 * job + step) % _RANGES)


def _not_in_a_step(missing):
    job = os.environ.get("SLURM_JOB_ID")
    if job and "SLURM_STEP_NUM_TASKS" in missing:
        return (
            f"This process is in Slurm's job {job} but was not started by srun: write "
            "`srun simclr-tf pretrain ...` in the job's script."
        )
    return (
        "--cluster=slurm needs a Slurm step: `srun simclr-tf pretrain ...`, in a "
        f"script for sbatch. Not set: {', '.join(missing)}."
    )
