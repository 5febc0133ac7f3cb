import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.request

import psutil
import pytest

from covertune.search import RunFolder
from covertune.search.record.dashboard import make_dashboard

CHROMIUM = ("chromium", "chromium-browser")


@pytest.fixture
def start(start_command, run):
    """Start a dashboard; gives the process and the address it prints."""
    started = []

    def start(*options):
        server = start_command("dashboard", run, *options, cwd=run.parent)
        started.append(server)
        line = server.stdout.readline()
        found = re.search(r"http://[^\s]+", line)
        assert found, line + server.communicate(timeout=10)[1]
        return server, found[0]

    yield start
    for server in started:
        server.kill()
        server.communicate()


def fetch(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read()


def test_dashboard_shows_the_study_to_this_machine_only(start, run):
    server, url = start("--port", 0)
    address, port = url.removeprefix("http://").split(":")
    assert address == "127.0.0.1"
    listening = [
        connection.laddr
        for connection in psutil.Process(server.pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert [(laddr.ip, laddr.port) for laddr in listening] == [("127.0.0.1", int(port))]

    assert b"<html" in fetch(f"{url}/dashboard")
    [study] = json.loads(fetch(f"{url}/api/studies"))["study_summaries"]
    assert study["study_name"] == run.name
    detail = json.loads(fetch(f"{url}/api/studies/{study['study_id']}"))
    assert [trial["number"] for trial in detail["trials"]] == [0, 1, 2]
    # What a value is, and what became of the best, is told on the page.
    assert detail["objective_names"] == ["top-1 accuracy"]
    origin = json.loads((run / "model" / "config.json").read_text())["covertune"]["provenance"]
    numbers = origin.get("trials", [origin.get("trial")])
    assert "The model that this search exported" in detail["note"]["body"]
    noted = [trial["number"] for trial in detail["trials"] if "Exported" in trial["note"]["body"]]
    assert noted == sorted(numbers)
    assert "model" in {attr["key"] for attr in detail["user_attrs"]}
    for trial in detail["trials"]:
        assert trial["state"] in ("Complete", "Pruned")
        assert trial["intermediate_values"]
        assert {"role", "recipe", "history"} <= {attr["key"] for attr in trial["user_attrs"]}
        names = {artifact["filename"] for artifact in trial["artifacts"]}
        assert len(names) == 3
        assert {name.rpartition(".")[2] for name in names} >= {"png"}
        for artifact in trial["artifacts"]:
            where = f"{study['study_id']}/{trial['trial_id']}/{artifact['artifact_id']}"
            assert fetch(f"{url}/artifacts/{where}")

    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=20)
    assert (server.returncode, out, err) == (0, "dashboard closed\n", "")


@pytest.fixture(scope="module")
def served(run):
    """The dashboard in this process, which needs no command."""
    server = make_dashboard(RunFolder.open(run), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port, method, path, *, host=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Content-Type": "application/json"} | ({} if host is None else {"Host": host})
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def files(run):
    return {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/studies", '{"study_name": "mine", "directions": ["minimize"]}'),
        ("POST", "/api/studies/1/rename", '{"study_name": "mine"}'),
        ("DELETE", "/api/studies/1", None),
        ("PUT", "/api/studies/1/note", '{"body": "mine", "version": 1}'),
        ("POST", "/api/trials/1/tell", '{"state": "Fail"}'),
        ("OPTIONS", "/api/studies", None),
        ("PATCH", "/dashboard", None),
    ],
)
def test_it_only_shows(served, run, method, path, body):
    before = files(run)
    answer = ask(served, method, path, body=body)
    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")
    assert files(run) == before


def test_looking_changes_nothing(served, run):
    before = files(run)
    for path in ("/dashboard", "/api/meta", "/api/studies", "/api/studies/1"):
        assert ask(served, "GET", path).status == 200, path
        assert ask(served, "HEAD", path).status == 200, path
    assert files(run) == before


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8080", 403),
        ("user@evil.example", 403),
        ("[::1", 403),
        ("", 403),
        ("localhost:9000", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
    ],
)
def test_a_page_that_points_its_own_name_here_is_refused(served, host, status):
    assert ask(served, "GET", "/api/studies", host=host).status == status


def test_port_that_is_taken(refused, run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = refused("dashboard", run, "--port", port)
    assert f"127.0.0.1:{port}" in message
    assert "--port" in message


@pytest.mark.browser
@pytest.mark.needs(*CHROMIUM)
def test_dashboard_in_a_browser(start, run, tmp_path):
    _, url = start("--port", 0)
    [study] = json.loads(fetch(f"{url}/api/studies"))["study_summaries"]
    picture = tmp_path / "dashboard.png"
    done = subprocess.run(
        [
            next(filter(None, map(shutil.which, CHROMIUM))),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={tmp_path / 'profile'}",
            *("--window-size=1400,1000", "--virtual-time-budget=20000"),
            *(f"--screenshot={picture}", "--dump-dom"),
            f"{url}/dashboard/studies/{study['study_id']}/trials",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert run.name in done.stdout
    assert "Trial 2" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
