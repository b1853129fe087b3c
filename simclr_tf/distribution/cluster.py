"""The cluster in TF_CONFIG, and the wait until all workers of a cluster have started.

TensorFlow waits for workers inside a call that cannot be interrupted. So before
TensorFlow starts, each worker listens on its own address until it has seen every other
worker: missing workers are named, and Ctrl-C works.
"""

import contextlib
import dataclasses
import errno
import logging
import socket
import time

from simclr_tf.errors import ClusterError
from simclr_tf.limits import parse_json

LOG = logging.getLogger("simclr_tf")

_EXAMPLE = (
    'TF_CONFIG=\'{"cluster": {"worker": ["host1:5000", "host2:5000"]}, '
    '"task": {"type": "worker", "index": 0}}\''
)
_JOBS = ("chief", "worker")  # The order of the replicas.
_MASTER = "master"  # The chief's name in TFJob and in older jobs of Google Cloud.
_NOT_TRAINING = ("ps", "evaluator")
_LONGEST_RECEIVED = 500
# What to do where TF_CONFIG names the workers, and where Slurm does.
_START = (
    "every worker with the same `cluster` in TF_CONFIG and its own index",
    "all workers with one `srun simclr-tf pretrain ...`",
)
_OTHER_PORT = (
    "give this worker another port in TF_CONFIG",
    "submit the job again: its number chooses the ports",
)
_PAUSE_SECONDS = 0.2
_NOTICE_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Worker:
    """One process of a cluster: its job, number and address."""

    job: str
    number: int
    address: str

    def __str__(self):
        return f"{self.job} {self.number} ({self.address})"

    @property
    def endpoint(self):
        """(host, port)."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)

    def answers(self, timeout_seconds=1.0):
        """Tell whether a server listens at the address.

        Raises:
          OSError: nothing listens, with the reason.
        """
        with socket.create_connection(self.endpoint, timeout=timeout_seconds):
            return True


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All workers of a run, in the order of their replicas, and the own index.

    Attributes:
      workers: tuple of Worker.
      index: int, the place of this process among them.
      by_slurm: bool, whether Slurm names the workers; else TF_CONFIG does.
    """

    workers: tuple
    index: int
    by_slurm: bool = False

    @property
    def own(self):
        """The Worker that this process is."""
        return self.workers[self.index]

    @property
    def peers(self):
        """The other workers."""
        return [w for i, w in enumerate(self.workers) if i != self.index]

    @property
    def jobs(self):
        """dict of job to the addresses of its workers, as TensorFlow's ClusterSpec."""
        return {
            job: addresses
            for job in _JOBS
            if (addresses := [w.address for w in self.workers if w.job == job])
        }

    def unreachable_peers(self):
        """Find the workers at whose address nothing listens now, with the reasons."""
        found = {}
        for peer in self.peers:
            try:
                peer.answers()
            except socket.gaierror:
                found[peer] = "its host name cannot be resolved"
            except OSError as error:
                found[peer] = error.strerror or str(error) or "no answer"
        return found

    def wait_for_peers(self, timeout_seconds):
        """Wait until every other worker has been seen.

        Args:
          timeout_seconds: float > 0.

        Raises:
          ClusterError: a worker did not start in time, or the own port is in use.
        """
        began, missing, was_said = time.monotonic(), self.peers, False
        with self._listening():
            while True:
                reasons = Cluster((self.own, *missing), 0).unreachable_peers()
                missing = list(reasons)
                waited = time.monotonic() - began
                if not missing:
                    return
                if waited > timeout_seconds:
                    raise ClusterError(self._not_there(reasons, timeout_seconds))
                if waited > _NOTICE_SECONDS and not was_said:
                    was_said = True
                    LOG.warning("Waiting for %s.", ", ".join(map(str, missing)))
                time.sleep(_PAUSE_SECONDS)

    @contextlib.contextmanager
    def _listening(self):
        """Listen at the own address; connections are not accepted."""
        _, port = self.own.endpoint
        try:
            if socket.has_dualstack_ipv6():
                server = socket.create_server(
                    ("", port),
                    family=socket.AF_INET6,
                    dualstack_ipv6=True,
                    backlog=max(len(self.workers), 16),
                )
            else:
                server = socket.create_server(("", port), backlog=128)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ClusterError(
                    f"Port {port} of {self.own} is in use: end the earlier run there, "
                    f"or {_OTHER_PORT[self.by_slurm]}."
                ) from error
            raise ClusterError(
                f"Cannot listen at {self.own}: {error.strerror}."
            ) from error
        with server:
            yield

    def _not_there(self, reasons, timeout_seconds):
        who = ", ".join(f"{peer}: {reason}" for peer, reason in reasons.items())
        return (
            f"Not all workers started within {timeout_seconds:g} s. Missing: {who}. "
            f"Start {_START[self.by_slurm]}, or wait longer with "
            "--collective_timeout_seconds."
        )


def read_tf_config(text):
    """Read the cluster that a TF_CONFIG describes.

    Args:
      text: str, the environment variable's JSON, or None if it is not set.

    Returns:
      Cluster.

    Raises:
      ClusterError: it is missing or does not describe a cluster.

    Example:
      >>> cluster = read_tf_config(
      ...     '{"cluster": {"worker": ["a:1", "b:1"]},'
      ...     ' "task": {"type": "worker", "index": 1}}')
      >>> str(cluster.own), [str(peer) for peer in cluster.peers]
      ('worker 1 (b:1)', ['worker 0 (a:1)'])
    """
    if not text:
        raise ClusterError(
            "--strategy=multi_worker needs the environment variable TF_CONFIG on every "
            f"worker, each with its own index, e.g. {_EXAMPLE}; or Slurm, which starts "
            "all workers with `srun simclr-tf pretrain ...`."
        )
    try:
        content = parse_json(text)
    except ValueError as error:
        raise _malformed(f"it is not JSON ({error})", text) from error
    if isinstance(content, dict) and "sparseCluster" in content:
        raise _malformed(
            "it has `sparseCluster` instead of `cluster`: leave enableDynamicWorker "
            "out of the TFJob",
            text,
        )
    jobs, task = (
        (content.get("cluster"), content.get("task"))
        if isinstance(content, dict)
        else (None, None)
    )
    if not (isinstance(jobs, dict) and isinstance(task, dict)):
        raise _malformed("it needs `cluster` and `task`", text)
    job, number = task.get("type"), task.get("index")
    if job in _NOT_TRAINING:
        raise ClusterError(
            f"This process is {job} {number} of the cluster, and pretraining has only "
            "a chief (or master) and workers: leave parameter servers and evaluators "
            "out of the job; `simclr-tf evaluate` measures a run."
        )
    workers = tuple(_workers_of(jobs, text))
    job = "chief" if job == _MASTER else job
    for index, worker in enumerate(workers):
        if (worker.job, worker.number) == (job, number) and number is not True:
            return Cluster(workers, index)
    raise _malformed(
        f"its task (type {job!r}, index {number!r}) is none of "
        f"{', '.join(map(str, workers))}",
        text,
    )


def _workers_of(jobs, text):
    jobs = {job: found for job, found in jobs.items() if job != "evaluator"}
    if _MASTER in jobs and "chief" not in jobs:
        jobs["chief"] = jobs.pop(_MASTER)
    unknown = sorted(set(jobs) - set(_JOBS))
    if unknown or not jobs:
        raise _malformed(
            "its jobs must be worker (and perhaps a chief or master), not "
            f"{', '.join(unknown) or 'none'}",
            text,
        )
    if isinstance(jobs.get("chief"), list) and len(jobs["chief"]) > 1:
        raise _malformed("there can be only one chief", text)
    seen = set()
    for job in _JOBS:
        addresses = jobs.get(job, [])
        if not isinstance(addresses, list):
            raise _malformed(f"`{job}` must be a list of addresses", text)
        for number, address in enumerate(addresses):
            if not _is_address(address):
                raise _malformed(f"{address!r} is not HOST:PORT", text)
            if address in seen:
                raise _malformed(f"{address} is listed twice", text)
            seen.add(address)
            yield Worker(job, number, address)


def _is_address(address):
    if not isinstance(address, str):
        return False
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def _malformed(problem, text):
    if len(text) > _LONGEST_RECEIVED:  # Vertex AI adds the whole job.
        text = f"{text[:_LONGEST_RECEIVED]}..."
    return ClusterError(
        f"TF_CONFIG cannot be used: {problem}. It looks like {_EXAMPLE}. "
        f"Received: TF_CONFIG={text!r}."
    )
