"""A run on a disk that two machines mount: each mount has locks and a cache of its own.

A real sshfs, twice, whose other end is an SFTP server of this machine without SSH between.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from covertune.search import RunError, RunFolder, SearchConfig
from covertune.search.record.compat import close_storage
from covertune.search.record.owner import FRESH_S
from covertune.search.record.study import drive_study, read_trials

SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")
TRIALS = 30

DRIVER = f"""
import sys, time
from pathlib import Path
import optuna
from covertune.search.record.compat import close_storage
from covertune.search.record.published_copy import PublishedCopy
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import create_study

run = RunFolder(Path(sys.argv[1]))
with run.lock():
    study = create_study(run, optuna.samplers.RandomSampler(), None)
    copy = PublishedCopy(run, study)
    copy.publish()
    print("begun", flush=True)
    for number in range({TRIALS}):
        trial = study.ask()
        trial.report(number / 100, 1)
        study.tell(trial, number / 100)
        copy.publish()
        time.sleep(0.05)
    print("ended", flush=True)
    sys.stdin.read()
    close_storage(study)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="no /dev/fuse"),
    pytest.mark.needs("sshfs"),
    pytest.mark.skipif(not SFTP_SERVER.exists(), reason="no SFTP server"),
]


@pytest.fixture
def mount(tmp_path):
    """Mount the disk once more; gives the folder."""
    (tmp_path / "disk").mkdir()
    no_ssh = tmp_path / "no_ssh"
    no_ssh.write_text(f"#!/bin/sh\nexec {SFTP_SERVER}\n")
    no_ssh.chmod(0o755)
    mounted = []

    def at(name):
        folder = tmp_path / name
        folder.mkdir()
        command = ["sshfs", f"there:{tmp_path / 'disk'}", str(folder)]
        tried = subprocess.run(
            [*command, "-o", f"ssh_command={no_ssh}"], capture_output=True, text=True, timeout=30
        )
        if tried.returncode:
            pytest.skip(f"sshfs cannot mount here: {tried.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield at
    for folder in mounted:
        subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=True)


def test_one_machine_looks_while_another_searches(mount):
    here, there = mount("here"), mount("there")
    config = SearchConfig(runs_dir=there, name="run")
    RunFolder.create(config).start(config, store_fingerprint="0", image_px={})
    run = RunFolder(here / "run")
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(there / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert driver.stdout.readline() == "begun\n"
        seen = []
        deadline = time.monotonic() + 60
        while not seen or seen[-1] < TRIALS:
            assert time.monotonic() < deadline, seen
            seen.append(sum(trial.value is not None for trial in read_trials(run)))
        assert seen == sorted(seen)
        assert len(set(seen)) > 3, "it was looked at while it went on"
        assert driver.stdout.readline() == "ended\n"
        with pytest.raises(RunError, match=r"from another machine, .*--take-over"), run.lock():
            pass
        assert not list((here / "run").glob("*-shm"))
    finally:
        driver.communicate("", timeout=30)
    assert driver.returncode == 0
    with run.lock():
        study = drive_study(run)
        assert [trial.value for trial in study.trials] == [n / 100 for n in range(TRIALS)]
        close_storage(study)
    assert sorted(file.name for file in (here / "run").glob("study*")) == [
        "study-copy.db",
        "study.db",
    ]


def test_what_another_machine_left_is_fresh_by_the_disks_own_clock(mount):
    here = mount("here")
    run = RunFolder.create(SearchConfig(runs_dir=here, name="run"))
    (run.path / ".owner").write_text(json.dumps({"host": "annex", "pid": 1}))
    with pytest.raises(RunError, match=r"'annex', which wrote to it [0-2] s ago"), run.lock():
        pass
    assert FRESH_S > 20, "sshfs remembers for that long when a file was written"
    with run.lock(take_over=True):
        assert "annex" not in (run.path / ".owner").read_text()
