"""What the manifests say beside what a schema sees: the board's liveness, CPU, KEDA's few lines."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent / "deploy" / "kubernetes"


def workloads() -> list[dict]:
    found = [
        one
        for path in sorted((ROOT / "base").rglob("*.yaml"))
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    return [one for one in found if one["kind"] in ("Deployment", "StatefulSet")]


def container(one: dict) -> dict:
    (found,) = one["spec"]["template"]["spec"]["containers"]
    return found


def test_no_container_has_a_limit_of_cpu():
    """Two comments said why there is none, and the third container had one."""
    assert len(workloads()) == 4
    for one in workloads():
        told = container(one)["resources"]
        assert "cpu" not in told["limits"], one["metadata"]["name"]
        assert "cpu" in told["requests"]


def test_each_container_is_restarted_when_it_hangs():
    for one in workloads():
        assert "livenessProbe" in container(one), one["metadata"]["name"]


@pytest.mark.skipif(not shutil.which("find") or os.name != "posix", reason="it runs on Linux")
@pytest.mark.parametrize(("age", "alive"), [(0, True), (600, False), (None, False)])
def test_a_board_whose_loop_stands_still_is_not_alive(tmp_path, age, alive):
    (board,) = (one for one in workloads() if one["metadata"]["name"] == "board")
    told = container(board)
    (sign,) = (one["value"] for one in told["env"] if one["name"] == "ALIVE")
    mine = tmp_path / "alive"
    if age is not None:
        mine.touch()
        os.utime(mine, (time.time() - age,) * 2)
    words = [word.replace(sign, str(mine)) for word in told["livenessProbe"]["exec"]["command"]]
    assert str(mine) in words[-1]
    done = subprocess.run(words, capture_output=True, timeout=20)
    assert (done.returncode == 0) == alive
    # it can be written there: nothing else can, and the folder goes with the pod
    assert told["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


def test_a_board_that_cannot_get_in_is_given_the_time_for_it():
    """It gives up by itself after a minute, and says why; the probe must not be quicker."""
    (board,) = (one for one in workloads() if one["metadata"]["name"] == "board")
    patience = 60  # what board.py takes if nothing else is said
    source = (ROOT.parents[1] / "services" / "board" / "board.py").read_text(encoding="utf-8")
    assert f'get("PATIENCE", "{patience}")' in source
    assert container(board)["livenessProbe"]["initialDelaySeconds"] > patience


def test_kedas_lines_scale_down_slowly():
    """`cooldownPeriod` is about zero replicas alone: with at least two it has no effect."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text[text.index("    apiVersion: keda.sh") : text.index("(KEDA's own")]
    told = yaml.safe_load(block)["spec"]
    assert told["minReplicaCount"] > 0
    assert "cooldownPeriod" not in told
    behavior = told["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert behavior["stabilizationWindowSeconds"] == 300
    assert behavior["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]
