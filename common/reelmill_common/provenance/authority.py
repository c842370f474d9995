"""A farm's own certificate authority, for trials: others show what it signs as signed by someone unknown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, KeyUsage, Name

AUTHORITY_DAYS = 3650
SIGNER_DAYS = 365
_CLOCKS = timedelta(minutes=5)
"""Time before now from which the certificates are valid, for clocks that go slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """PEM files of an authority and of the signer that it vouches for; the authority's own key is not kept."""

    authority: bytes
    certificate: bytes
    key: bytes


def issue(farm: str, *, days: float = SIGNER_DAYS, now: datetime | None = None) -> Issued:
    """Make an authority and a certificate that may sign C2PA claims, with ECDSA keys on P-256.

    Args:
        farm: Name of the farm, which both bear.
        days: Days that the signer's certificate is valid.
        now: When its time begins; None: now.
    """
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - of the extra
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - of the extra
    from cryptography.x509 import ExtendedKeyUsage  # noqa: PLC0415 - of the extra
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415 - of the extra

    start = now or datetime.now(UTC)
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = _name(farm, "authority for trials"), _name(farm, "signer for trials")
    authority = (
        _draft(issuer, issuer, root, root, start, AUTHORITY_DAYS)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(root, hashes.SHA256())
    )
    certificate = (
        _draft(subject, issuer, key, root, start, days)
        .add_extension(_usage(signs_certificates=False), critical=True)
        # C2PA takes claims from certificates for mail or documents (section 14.5.1, "Certificate Profiles").
        .add_extension(ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(root, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Issued(authority=_pem(authority), certificate=_pem(certificate), key=private)


def _draft(
    subject: Name,
    issuer: Name,
    key: EllipticCurvePrivateKey,
    issuer_key: EllipticCurvePrivateKey,
    start: datetime,
    days: float,
) -> CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415 - of the extra

    is_authority = subject == issuer
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _CLOCKS)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> KeyUsage:
    from cryptography.x509 import KeyUsage  # noqa: PLC0415 - of the extra

    return KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(farm: str, role: str) -> Name:
    from cryptography import x509  # noqa: PLC0415 - of the extra
    from cryptography.x509.oid import NameOID  # noqa: PLC0415 - of the extra

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Reelmill farm {farm}"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Reelmill farm {farm}, {role}"),
        ]
    )


def _pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - of the extra

    return certificate.public_bytes(Encoding.PEM)
