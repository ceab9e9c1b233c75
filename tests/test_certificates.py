"""Downloads behind a network that opens TLS: whom they trust, and what is said of whom not."""

import hashlib
import shutil
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from lab_env.course import doctor
from lab_env.ground import certificates
from lab_env.ground.errors import DownloadError
from lab_env.processes import folders, jars

JAR = b"a jar\n" * 1000


class Handler(BaseHTTPRequestHandler):
    """A Maven repository that has one jar."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(JAR)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(JAR)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


class Quiet(ThreadingHTTPServer):
    """A server that keeps to itself who hung up."""

    def handle_error(self, request, client_address):
        pass


@pytest.fixture(scope="module")
def authority():
    """The authority of a company that looks into its people's connections."""
    return trustme.CA(organization_name="Inspection of Example Ltd")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch, tmp_path):
    """Trust nobody but whom the system trusts, and have a home with nothing in it."""
    for name in (*certificates.VARIABLES, "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(folders.HOME_VARIABLE, str(tmp_path / "home"))


@pytest.fixture
def mirror(authority, monkeypatch):
    """Return what starts a mirror of the Maven repository, with a certificate for a name."""
    servers = []

    def start(name: str = "127.0.0.1") -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        server = Quiet(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        servers.append((server, thread))
        address = f"https://127.0.0.1:{server.server_address[1]}/"
        monkeypatch.setenv(jars.MIRROR_VARIABLE, address)
        return address

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def store(tmp_path):
    """The lock of one jar."""
    lock = tmp_path / "one.lock"
    digest = hashlib.sha256(JAR).hexdigest()
    lock.write_text(f"org.example:one:1.0 {digest} {len(JAR)}\n")
    return jars.Store(lock, lambda what: f"clusters.download_{what}", "test-")


@pytest.fixture
def pem(authority, tmp_path):
    """The authority's certificate, as whoever runs the network hands it out."""
    file = tmp_path / "company.pem"
    authority.cert_pem.write_to_path(file)
    return file


def test_a_certificate_that_is_not_trusted_is_named_with_its_issuer_and_the_remedy(mirror, store):
    mirror()
    with pytest.raises(DownloadError) as raised:
        store.ensure(progress=False)
    told = str(raised.value)
    assert "127.0.0.1 is not trusted" in told
    assert "Inspection of Example Ltd" in told
    assert "SSL_CERT_FILE" in told
    assert store.bad_jars()
    assert not list(store.folder().glob("download-*"))


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_that_a_variable_names_is_trusted(mirror, store, pem, monkeypatch, variable):
    mirror()
    monkeypatch.setenv(variable, str(pem))
    folder = store.ensure(progress=False)
    assert (folder / "one-1.0.jar").read_bytes() == JAR


@pytest.mark.skipif(sys.platform != "linux", reason="the system's store is OpenSSL's on Linux only")
def test_an_authority_of_the_systems_store_is_trusted(mirror, store, pem, tmp_path, monkeypatch):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not here, which tells the name under which its store has a file")
    words = ["openssl", "x509", "-noout", "-hash", "-in", str(pem)]
    name = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "system").mkdir()
    shutil.copy(pem, tmp_path / "system" / f"{name}.0")
    mirror()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "system"))
    assert store.ensure(progress=False)


def test_a_certificate_for_another_name_says_so(mirror, store, pem, monkeypatch):
    mirror("repository.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1.*(not valid for|mismatch)"):
        store.ensure(progress=False)


@pytest.mark.parametrize("content", [None, "no certificate\n"], ids=["missing", "of other things"])
def test_a_variable_that_names_no_certificates_is_told_by_name(
    mirror, store, tmp_path, monkeypatch, content
):
    mirror()
    file = tmp_path / "typo.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(DownloadError, match=r"SSL_CERT_FILE names .*typo\.pem"):
        store.ensure(progress=False)


def test_an_address_that_is_none_is_not_called_a_damaged_file(store, monkeypatch):
    monkeypatch.setenv(jars.MIRROR_VARIABLE, "somewhere")
    with pytest.raises(DownloadError, match="KAFKA_LAB_MIRROR"):
        store.ensure(progress=False)


def test_the_doctor_judges_the_certificate_while_something_is_to_be_fetched(
    mirror, pem, monkeypatch
):
    mirror()
    (finding,) = doctor.certificates()
    assert finding.good is False
    assert "Inspection of Example Ltd" in finding.remedy
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    (finding,) = doctor.certificates()
    assert finding.good is True
    assert str(pem) in finding.what
