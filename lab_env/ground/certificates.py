"""Whom a download trusts: the system's authorities, and those that a variable names."""

import contextlib
import http.client
import os
import ssl
from collections.abc import Generator
from urllib.parse import urlsplit

import requests
import truststore
from requests.adapters import HTTPAdapter

from lab_env.ground.errors import DownloadError, LabError
from lab_env.messages import say

VARIABLE = "SSL_CERT_FILE"  # what uv, pip's store, curl and OpenSSL read too
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", VARIABLE)  # the first that is set counts
ASK_SECONDS = 10.0


class _Adapter(HTTPAdapter):
    """Trusts whom this system's browsers trust; what ``verify`` names is trusted as well.

    More trust than other programs give, and no risk: every jar is compared with the lock's hash.
    """

    def init_poolmanager(self, *args, **kwargs) -> None:
        super().init_poolmanager(*args, ssl_context=_context(), **kwargs)

    def proxy_manager_for(self, proxy, **kwargs):
        return super().proxy_manager_for(proxy, ssl_context=_context(), **kwargs)


def _context() -> truststore.SSLContext:
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def named() -> tuple[str, str] | None:
    """Return the variable that names more authorities, and the file or folder; None if none does.

    Raises:
        DownloadError: there is no such file, or no certificate in it.
    """
    for variable in VARIABLES:
        if place := os.environ.get(variable):
            kind = "capath" if os.path.isdir(place) else "cafile"
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{kind: place})
            except OSError as error:
                why = error.strerror or str(error)
                values = {"variable": variable, "file": place, "why": why}
                raise DownloadError("certificates.bad_file", **values) from error
            return variable, place
    return None


def session() -> requests.Session:
    """Return what fetches, with the certificates that this machine and its variables trust.

    Raises:
        DownloadError: a variable names a file that has no certificates.
    """
    made = requests.Session()
    made.mount("https://", _Adapter())
    if more := named():
        made.verify = more[1]
    return made


@contextlib.contextmanager
def explained() -> Generator[None]:
    """Turn a refused certificate within the block into a DownloadError that names its issuer."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        refused = _cause(error)
        # another trouble of TLS is the network's, not the certificate's
        if refused is None or error.request is None:
            raise
        url = str(error.request.url)
        values = {"host": urlsplit(url).hostname, "variable": VARIABLE}
        values["why"] = refused.verify_message or str(refused)
        raise DownloadError("certificates.untrusted", issuer=issuer(url), **values) from error


def _cause(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        inner = [one for one in error.args if isinstance(one, BaseException)]
        error = error.__cause__ or error.__context__ or (inner[0] if inner else None)
    return error


def issuer(url: str) -> str:
    """Return who has issued the certificate of a server, "?" if it cannot be told.

    It is asked without trust, so nothing is sent to it: no request, and no login of the address.
    """
    from cryptography import x509

    parts = urlsplit(url)
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    there = urlsplit(requests.utils.prepend_scheme_if_needed(proxy, "http")) if proxy else parts
    if not (there.hostname and parts.hostname):
        return "?"
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    try:
        with contextlib.closing(
            http.client.HTTPSConnection(
                there.hostname, there.port, timeout=ASK_SECONDS, context=blind
            )
        ) as connection:
            if proxy:
                connection.set_tunnel(parts.hostname, parts.port or 443)
            connection.connect()
            seen = connection.sock.getpeercert(binary_form=True) or b""
        name = x509.load_der_x509_certificate(seen).issuer
    except (OSError, http.client.HTTPException, ValueError):
        return "?"
    words = [
        str(one.value)
        for kind in (x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME)
        for one in name.get_attributes_for_oid(kind)
    ]
    return ", ".join(words) or name.rfc4514_string() or "?"


def status(url: str) -> list[tuple[bool | None, str, str]]:
    """Return what `lab doctor` says of the way to ``url``: (good, what, remedy)."""
    host = urlsplit(url).hostname or url
    try:
        more = named()
        with session() as asking, explained():
            asking.head(url, timeout=ASK_SECONDS)
    except LabError as error:
        return [(False, say("certificates.status_bad", host=host), str(error))]
    except requests.RequestException as error:
        what = say("certificates.status_silent", host=host, why=type(error).__name__)
        return [(None, what, say("certificates.status_silent_remedy"))]
    if more:
        what = say("certificates.status_named", host=host, variable=more[0], file=more[1])
        return [(True, what, "")]
    return [(True, say("certificates.status_good", host=host), "")]
