import ssl
from datetime import UTC, datetime

import pytest

from tradehub.http.tls import ensure_certificate


@pytest.fixture
def files(tmp_path):
    return {"cert": tmp_path / "tls" / "cert.pem", "key": tmp_path / "tls" / "key.pem"}


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_certificate_reaches_each_local_name(files, name):
    ensure_certificate(**files, now=datetime.now(UTC))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(files["cert"], files["key"])
    client = ssl.create_default_context(cafile=str(files["cert"]))

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(incoming, outgoing, server_hostname=name),
        server.wrap_bio(outgoing, incoming, server_side=True),
    ]
    for end in [*ends, *ends]:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue

    assert ends[0].getpeercert()["subjectAltName"]


def test_the_key_is_readable_by_its_owner_only(files):
    ensure_certificate(**files, now=datetime.now(UTC))

    assert files["key"].stat().st_mode & 0o777 == 0o600


def test_existing_files_are_never_overwritten(files):
    assert ensure_certificate(**files, now=datetime.now(UTC))
    before = {path: path.read_bytes() for path in files.values()}

    assert not ensure_certificate(**files, now=datetime.now(UTC))
    assert {path: path.read_bytes() for path in files.values()} == before


def test_a_certificate_without_its_key_is_left_alone_and_the_missing_file_is_named(files):
    files["cert"].parent.mkdir()
    files["cert"].write_text("mine")

    with pytest.raises(FileNotFoundError, match=r"key\.pem is missing"):
        ensure_certificate(**files, now=datetime.now(UTC))

    assert files["cert"].read_text() == "mine"
    assert not files["key"].exists()
