"""Makes a self-signed certificate for a machine without a certificate."""

import ipaddress
import os
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_FOR = timedelta(days=397)  # browsers refuse certificates with a longer life
NAMES = [
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
]


def ensure_certificate(*, cert: Path, key: Path, now: datetime) -> bool:
    """Makes both files where both are missing, and returns whether the call made the files.

    Raises FileNotFoundError where a single file is missing, because overwriting a person's file would be worse.
    """
    missing = [path for path in (cert, key) if not path.exists()]
    if not missing:
        return False
    if len(missing) == 1:
        raise FileNotFoundError(
            f"{missing[0]} is missing. Put it there, or delete {cert} and {key} for a new pair."
        )
    private_key = ec.generate_private_key(ec.SECP256R1())
    write_new(key, private_pem(private_key), mode=0o600)
    write_new(cert, self_signed(private_key, now).public_bytes(serialization.Encoding.PEM), mode=0o644)
    return True


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def self_signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Creates a file with `mode` from the start, so that others cannot read a key for a moment before a chmod."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
