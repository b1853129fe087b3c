"""The cluster of a Slurm step, from the variables that srun sets."""

import pytest

from simclr_tf.distribution import make_strategy
from simclr_tf.distribution.cluster import Cluster, Worker
from simclr_tf.distribution.slurm import gpus_of_task, read_slurm, tasks_of_step
from simclr_tf.errors import ClusterError, ConfigError

STEP = {
    "SLURM_JOB_ID": "1234",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "gpu[9-10]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1",
    "SLURMD_NODENAME": "gpu9",
}


@pytest.fixture(autouse=True)
def step(monkeypatch):
    """A function that sets variables on top of STEP; None takes one away."""

    def change(**variables):
        for name, value in {**STEP, **variables}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    for name in ("TF_CONFIG", "TPU_NAME", "SLURM_GPUS_ON_NODE", "SLURM_GPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    change()
    return change


def test_every_task_finds_its_own_address_where_slurm_counts_otherwise(step):
    """Host names in the order of their letters: gpu10 before gpu9."""
    found = []
    for rank, (node, local) in enumerate(
        [("gpu9", "0"), ("gpu9", "1"), ("gpu10", "0"), ("gpu10", "1")]
    ):
        step(SLURM_PROCID=str(rank), SLURM_LOCALID=local, SLURMD_NODENAME=node)
        found.append(read_slurm())
        assert found[-1].own.endpoint[0] == node
    assert {cluster.workers for cluster in found} == {found[0].workers}
    assert sorted(cluster.index for cluster in found) == [0, 1, 2, 3]
    assert all(cluster.by_slurm for cluster in found)


def test_without_the_name_of_the_node_the_rank_is_the_place(step):
    step(
        SLURMD_NODENAME=None,
        SLURM_STEP_NODELIST="n[1-4]",
        SLURM_LOCALID="0",
        SLURM_STEP_TASKS_PER_NODE="1(x4)",
    )
    cluster = read_slurm()
    assert cluster.own.endpoint[0] == "n2" and cluster.index == 1
    assert [w.endpoint[0] for w in cluster.workers] == ["n1", "n2", "n3", "n4"]


def test_jobs_and_steps_that_share_a_node_have_different_ports(step):
    ports = set()
    for job, number in [("1234", "0"), ("1234", "1"), ("1235", "0")]:
        step(SLURM_JOB_ID=job, SLURM_STEP_ID=number)
        ports |= {worker.endpoint[1] for worker in read_slurm().workers}
    assert len(ports) == 6 and 10_000 <= min(ports) and max(ports) < 32_768


@pytest.mark.parametrize(
    "variables, words",
    [
        (dict.fromkeys(STEP), "needs a Slurm step"),
        (
            dict.fromkeys(set(STEP) - {"SLURM_JOB_ID", "SLURM_PROCID"}),
            "job 1234 but was not started by srun",
        ),
        ({"SLURM_STEP_NODELIST": "gpu[9-"}, "SLURM_STEP_NODELIST=gpu[9-"),
        ({"SLURM_STEP_TASKS_PER_NODE": "two"}, "SLURM_STEP_TASKS_PER_NODE=two"),
        ({"SLURM_STEP_NUM_TASKS": "3"}, "SLURM_STEP_NUM_TASKS=3"),
        ({"SLURMD_NODENAME": "login"}, "no cluster with this process in it"),
        ({"SLURMD_NODENAME": None, "SLURM_PROCID": "4"}, "SLURM_PROCID=4"),
    ],
)
def test_what_is_no_step_is_one_line(step, variables, words):
    step(**variables)
    with pytest.raises(ClusterError) as error:
        make_strategy(cluster="slurm")
    message = str(error.value)
    assert words in message and "\n" not in message
    assert "`srun simclr-tf pretrain ...`" in message


HERE = {
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_STEP_TASKS_PER_NODE": "4",
    "SLURMD_NODENAME": "localhost",
}


def test_a_step_of_several_tasks_is_taken_by_auto_alone(step, monkeypatch):
    step(**HERE)
    with pytest.raises(ClusterError, match="Start all workers with one `srun"):
        make_strategy(cluster="auto", collective_timeout_seconds=0.1)
    for cluster in (None, "none"):
        assert make_strategy(cluster=cluster).num_replicas_in_sync == 1
    assert make_strategy("one_device", cluster="auto").num_replicas_in_sync == 1
    # TF_CONFIG comes first.
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(ClusterError, match="TF_CONFIG cannot be used"):
        make_strategy(cluster="auto")
    monkeypatch.delenv("TF_CONFIG")
    # srun of one task, for example of an interactive shell: one machine.
    one = {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_TASKS_PER_NODE": "1"}
    step(**HERE | one, SLURM_PROCID="0", SLURM_LOCALID="0")
    assert tasks_of_step() == 1
    for cluster in ("auto", "slurm"):
        assert make_strategy(cluster=cluster).num_replicas_in_sync == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"cluster": "slrum"}, "Did you mean slurm"),
        ({"cluster": "slurm", "name": "mirrored"}, "needs --strategy=multi_worker"),
        ({"cluster": "none", "name": "multi_worker"}, "must not be none"),
    ],
)
def test_choices_that_exclude_each_other_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        make_strategy(**arguments)


def test_the_gpus_of_a_node_are_divided_unless_slurm_did_it(monkeypatch):
    def of(place, visible, tasks=2):
        workers = tuple(Worker("worker", i, f"a:{i + 1}") for i in range(tasks))
        other = Worker("worker", tasks, "b:1")
        cluster = Cluster((*workers, other), place, by_slurm=True)
        return list(gpus_of_task(visible, cluster))

    assert of(0, 0) == [] and of(0, 4, tasks=1) == [0, 1, 2, 3]
    assert (of(0, 4), of(1, 4)) == ([0, 1], [2, 3])
    assert of(2, 4) == [0, 1, 2, 3]  # Alone on its node.
    with pytest.raises(ClusterError, match="ntasks-per-node of the job be 2"):
        of(0, 2, tasks=3)
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "4")
    assert of(1, 2) == [0, 1]  # --gpu-bind: the others are not visible.
    assert of(1, 4) == [2, 3]
    monkeypatch.setenv("SLURM_GPUS_PER_TASK", "4")
    assert of(1, 4) == [0, 1, 2, 3]
