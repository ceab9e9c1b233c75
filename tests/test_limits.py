"""The memory and the cores of a container or a login, in the kernel's own files of both kinds."""

import pytest

from lab_env.course import doctor
from lab_env.ground import limits

MB = 1 << 20


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Return what writes the files that the kernel would show."""
    monkeypatch.setattr(limits, "GROUPS", tmp_path / "sys")
    monkeypatch.setattr(limits, "OWN", tmp_path / "own")

    def write(own, files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            file = tmp_path / "sys" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")

    return write


V2 = {"memory.max": 600 * MB, "memory.current": 500 * MB, "memory.stat": "inactive_file 104857600"}
V1 = {
    "memory.limit_in_bytes": 600 * MB,
    "memory.usage_in_bytes": 500 * MB,
    "memory.stat": f"inactive_file 0\ntotal_inactive_file {100 * MB}",
}


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/\n", V2),
        ("0::/user/ana\n", {f"user/{name}": text for name, text in V2.items()}),
        ("4:memory:/docker/0123\n0::/\n", {f"memory/{name}": text for name, text in V1.items()}),
    ],
    ids=["container, v2", "login, v2", "container, v1"],
)
def test_the_memory_that_is_free_is_that_of_the_limit(kernel, own, files):
    kernel(own, files)
    assert limits.free_memory() == (200 * MB, True)
    (finding,) = doctor.memory()
    assert finding.good is False
    assert "limit" in finding.what


@pytest.mark.parametrize(
    ("own", "files", "share"),
    [
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}, 0.5),
        (
            "2:cpu,cpuacct:/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": 50000, "cpu,cpuacct/cpu.cfs_period_us": 100000},
            0.5,
        ),
    ],
    ids=["v2", "v2, of the group above", "v1"],
)
def test_the_cores_are_those_of_the_limit(kernel, own, files, share):
    kernel(own, files)
    assert limits.cores() == (share, True)
    (finding,) = doctor.machine()
    assert "0.5 cores" in finding.what


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("", {}),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max", **{"memory.current": 5}}),
        (
            "4:memory:/\n2:cpu:/\n",
            {"memory/memory.limit_in_bytes": 9223372036854771712, "cpu/cpu.cfs_quota_us": -1},
        ),
    ],
    ids=["no groups", "v2", "v1"],
)
def test_without_a_limit_it_is_the_machine_that_counts(kernel, own, files):
    kernel(own, files)
    assert limits.free_memory()[1] is False
    assert limits.cores()[0] >= 1
