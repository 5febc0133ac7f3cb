import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from covertune.data_pipeline.downloads import DownloadSettings
from covertune.data_pipeline.downloads import _client as client_module
from covertune.data_pipeline.downloads._client import Client, DownloadFailed

QUICK = DownloadSettings(
    tries=3,
    connect_timeout_s=2.0,
    read_timeout_s=3.0,
    total_timeout_s=10.0,
    max_wait_s=1.5,
    max_bytes=2**20,
)
IMPATIENT = QUICK.model_copy(update={"read_timeout_s": 0.5, "total_timeout_s": 1.0})


def _failure(url, settings=QUICK):
    with pytest.raises(DownloadFailed) as caught:
        Client(settings, 4).download(url)
    return caught.value.failure


@pytest.mark.parametrize(
    ("path", "requests"),
    [
        ("ok/3", 1),
        ("plain/3", 1),  # what it is counts, not what it is called
        ("recovers/3", 3),
        ("whenever/3", 2),
        ("moved/3", 1),
    ],
)
def test_what_comes(server, path, requests):
    assert Client(QUICK, 4).download(server.url(path)) == server.cover(3)
    assert server.requests[path] == requests


@pytest.mark.parametrize(("path", "number"), [("cut/2", 7), ("stall/1", 8)])
def test_a_break_in_the_middle_is_tried_again(server, path, number):
    settings = QUICK.model_copy(update={"read_timeout_s": 1.0})
    assert Client(settings, 4).download(server.url(path)) == server.cover(number)
    assert server.requests[path] == int(path[-1]) + 1


@pytest.mark.parametrize(("path", "least_s", "most_s"), [("busy/3", 1.0, 60), ("later/3", 1.4, 60)])
def test_retry_after_is_honoured_up_to_a_limit(server, path, least_s, most_s):
    assert Client(QUICK, 4).download(server.url(path)) == server.cover(3)
    first, second = server.times[path]
    assert least_s <= second - first < most_s


@pytest.mark.parametrize(
    ("path", "reason", "final", "requests"),
    [
        ("status/404", "HTTP 404", True, 1),
        ("status/410", "HTTP 410", True, 1),
        ("status/403", "HTTP 403", False, 1),
        ("status/500", "HTTP 500", False, 3),
        ("status/429", "HTTP 429", False, 3),
        ("status/204", "HTTP 204", False, 1),
        ("page/0", "a web page instead of an image", True, 1),
        ("text/0", "not an image", True, 1),
        ("empty/0", "empty answer", False, 1),
        ("cut/9", "connection broke off", False, 3),
        ("stall/9", "download timed out", False, 3),
        ("drip/0", "download timed out", False, 1),
        ("huge/0", "too large", True, 1),
        ("announced/0", "too large", True, 1),
        ("loop/0", "too many redirects", False, 9),
        ("file/0", "bad web address", True, 1),
    ],
)
def test_why_nothing_comes(server, path, reason, final, requests):
    settings = IMPATIENT if path.startswith(("stall", "drip")) else QUICK
    failure = _failure(server.url(path), settings)
    assert (failure.reason, failure.final) == (reason, final)
    assert server.requests[path] == requests
    assert "object at" not in failure.detail


def test_addresses_that_lead_nowhere():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but nobody listens
        failure = _failure(f"http://127.0.0.1:{unused.getsockname()[1]}/1.jpg")
    assert (failure.reason, failure.final) == ("no connection", False)
    assert _failure("http://no-such-host.invalid/1.jpg").reason == "host not found"
    assert _failure("http://[::1/1.jpg").reason == "bad web address"
    assert _failure("http://").final


def test_a_host_that_is_not_there_is_given_up_for_a_while(monkeypatch):
    client = Client(QUICK.model_copy(update={"tries": 1}), 4)
    reasons = []
    for number in range(client_module._DEAD_AFTER + 2):
        with pytest.raises(DownloadFailed) as caught:
            client.download(f"http://no-such-host.invalid/{number}.jpg")
        reasons.append(caught.value.failure.reason)
    assert reasons == ["host not found"] * client_module._DEAD_AFTER + ["host unreachable"] * 2
    later = time.monotonic() + client_module._DEAD_FOR_S
    monkeypatch.setattr(client_module.time, "monotonic", lambda: later)
    with pytest.raises(DownloadFailed, match="host not found"):
        client.download("http://no-such-host.invalid/1.jpg")


def test_a_host_that_answers_badly_is_not_given_up(server):
    client = Client(QUICK, 4)
    for number in range(client_module._DEAD_AFTER + 2):
        with pytest.raises(DownloadFailed, match="HTTP 404"):
            client.download(server.url(f"status/404?{number}"))
    assert client.download(server.url("ok/1")) == server.cover(1)


def test_connections_to_a_host_are_limited(server):
    client = Client(QUICK, 3)
    with ThreadPoolExecutor(12) as pool:
        covers = list(pool.map(client.download, [server.url(f"slow/{n}") for n in range(24)]))
    assert covers == [server.cover(number) for number in range(24)]
    assert 1 < server.most_at_once <= 3


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "elsewhere")
    assert Client(QUICK, 4).download("http://far.invalid/ok/5") == server.cover(5)
    monkeypatch.setenv("no_proxy", "far.invalid")
    assert _failure("http://far.invalid/ok/5").reason == "host not found"


@pytest.mark.parametrize("url", ["http://169.254.169.254/1.jpg", "http://[fe80::1%25lo]/1.jpg",
                                 "http://[::ffff:169.254.1.2]:80/1.jpg"])  # fmt: skip
def test_a_link_local_address_is_never_asked(url, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it was asked"))
    failure = _failure(url)
    assert (failure.reason, failure.final) == ("link-local address", True)


def test_a_name_that_stands_for_a_link_local_address_is_not_asked(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost")
    monkeypatch.setattr(client_module, "is_link_local", lambda host: host == "127.0.0.1")
    failure = _failure(f"http://localhost:{server.server_port}/ok/1")
    assert (failure.reason, failure.detail) == ("link-local address", "127.0.0.1")
    assert not server.requests


def test_a_public_server_sends_nobody_to_an_address_that_is_not(server, monkeypatch):
    """Loopback stands for a public address here, another of its addresses for a private one."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,127.0.0.2")
    monkeypatch.setattr(client_module, "_is_public", lambda host: host != "127.0.0.2")
    server.elsewhere = f"http://127.0.0.2:{server.server_port}/ok/1"
    failure = _failure(server.url("away/0"))
    assert (failure.reason, failure.final) == ("redirected to a non-public address", True)


def test_nor_to_a_name_that_stands_for_one(server, monkeypatch):
    seen = []

    def is_public(host):
        """Tell that the first connection leads to a public address, and no other."""
        seen.append(host)
        return host == "localhost" or seen.count(host) == 1

    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setattr(client_module, "_is_public", is_public)
    server.elsewhere = f"http://localhost:{server.server_port}/ok/1"
    assert _failure(server.url("away/0")).reason == "redirected to a non-public address"
    assert server.requests["away/0"] == 1
    assert server.requests["ok/1"] == 0


def test_what_the_table_says_is_asked_and_may_send_on_to_its_own_network(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    server.elsewhere = f"http://localhost:{server.server_port}/ok/1"
    assert Client(QUICK, 4).download(server.url("away/0")) == server.cover(1)


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("example.org", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("192.168.1.1", False), ("[::1]", False),
        ("172.16.0.1", False), ("fd00::1", False), ("::ffff:10.0.0.1", False), ("0.0.0.0", False),
        ("100.64.0.1", False), ("localhost", False), ("LOCALHOST.", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(host, public):
    assert client_module._is_public(host) is public
