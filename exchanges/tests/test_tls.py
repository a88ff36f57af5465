"""An exchange that cannot prove who it is learns nothing: no request leaves, so no key does."""

import asyncio
import ssl
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from exchanges.adapters.binance import BinanceTransport
from exchanges.adapters.transport import new_session
from exchanges.errors import NotSent, OutcomeUnknown
from tradehub.http.tls import private_pem, self_signed

KEY = "canary-key"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
MOVED = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/plain\r\nContent-Length: 0\r\n\r\n"


class Client(BinanceTransport):
    def __init__(self, session):
        self.session = session

    def prepare_request_headers(self, headers):
        return headers or {}


def certificate(folder, *, age=timedelta(0)):
    key = ec.generate_private_key(ec.SECP256R1())
    pem = self_signed(key, timezone.now() - age).public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(private_pem(key))
    return folder / "cert.pem", folder / "key.pem"


def ask(cert, key, *, host="localhost", ca_file="", answer=ANSWER, minimum=None, scheme="https"):
    """What one signed request to such a server leads to, and the bytes that the server got to read."""

    async def run():
        heard = []

        async def serve(reader, writer):
            heard.append(await reader.read(65536))
            writer.write(answer)
            await writer.drain()
            writer.close()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        if minimum:
            context.minimum_version = context.maximum_version = minimum
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        session = new_session(ca_file=str(ca_file) if ca_file else "")
        try:
            url = f"{scheme}://{host}:{port}/order?signature=abc"
            return await Client(session).fetch(url, "POST", {"X-MBX-APIKEY": KEY}), heard
        except (NotSent, OutcomeUnknown) as error:
            return error, heard
        finally:
            await session.close()
            server.close()

    return asyncio.run(run())


def test_a_certificate_that_we_trust_is_talked_to(tmp_path):
    cert, key = certificate(tmp_path)

    answer, heard = ask(cert, key, ca_file=cert)

    assert answer == {}
    assert KEY.encode() in heard[0]


def count_trusted(ca_file=""):
    """The number of certificates that a session trusts."""

    async def run():
        async with new_session(ca_file=str(ca_file)) as session:
            return session.connector._ssl.cert_store_stats()["x509"]

    return asyncio.run(run())


def test_a_certificate_of_our_own_is_added_to_the_public_ones(tmp_path):
    cert, _ = certificate(tmp_path)

    trusted = count_trusted(ca_file=cert)

    assert trusted == count_trusted() + 1
    assert trusted > 100


@pytest.mark.parametrize("how", ["self-signed", "expired", "of another name", "another's"])
def test_a_certificate_that_proves_nothing_gets_no_request(tmp_path, how):
    cert, key = certificate(tmp_path, age=timedelta(days=500 if how == "expired" else 0))
    other = tmp_path / "other"
    other.mkdir()
    trusted = {"self-signed": "", "another's": certificate(other)[0]}.get(how, cert)

    error, heard = ask(
        cert, key, ca_file=trusted, host="127.0.0.2" if how == "of another name" else "localhost"
    )

    assert isinstance(error, NotSent)
    assert not [content for content in heard if content]
    assert KEY not in str(error)
    assert "signature" not in str(error)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_an_old_protocol_gets_no_request(tmp_path):
    cert, key = certificate(tmp_path)

    error, heard = ask(cert, key, ca_file=cert, minimum=ssl.TLSVersion.TLSv1_1)

    assert isinstance(error, NotSent)
    assert not [content for content in heard if content]


def test_nobody_is_followed_from_tls_to_plain_text(tmp_path):
    cert, key = certificate(tmp_path)

    error, heard = ask(cert, key, ca_file=cert, answer=MOVED)

    assert isinstance(error, OutcomeUnknown)
    assert error.http_status == 307
    assert len(heard) == 1
