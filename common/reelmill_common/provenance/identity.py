"""Who signs: a certificate and its key, read from the files that the settings name, and checked against each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from reelmill_common.config.extras import require_extra
from reelmill_common.errors import InvalidSettings
from reelmill_common.settings import Settings

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

Sign = Callable[[bytes], bytes]
"""Signs bytes with the certificate's key: the raw signature, for ECDSA r and s side by side."""
DAY_S = 86_400.0
WARN_DAYS = 30
"""Days before a certificate's end from which `doctor` and the alert warn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A signer.

    Attributes:
        chain: PEM of the certificate and those above it.
        key: PEM of its private key; empty if `sign` signs.
        algorithm: As C2PA names it: es256, es384, es512, ps256 or ed25519.
        name: Common name in the certificate.
        starts_at, expires_at: Unix seconds between which it is valid.
    """

    chain: bytes
    key: bytes = field(repr=False, default=b"")
    sign: Sign | None = field(repr=False, default=None)
    algorithm: str
    name: str
    starts_at: float
    expires_at: float

    def check_time(self) -> None:
        """Refuse to sign outside the certificate's time. Raises `InvalidSettings`."""
        now = time.time()
        if now >= self.expires_at:
            raise InvalidSettings(
                f"the certificate of {self.name!r} expired {_day(self.expires_at)}; put a new one there"
            )
        if now < self.starts_at:
            raise InvalidSettings(
                f"the certificate of {self.name!r} is valid from {_day(self.starts_at)}; check the clock"
            )


def is_wanted(settings: Settings) -> bool:
    """Whether the settings ask for signed clips."""
    return settings.provenance == "require" or (
        settings.provenance == "prefer" and bool(settings.provenance_certificate)
    )


def load(settings: Settings) -> Identity:
    """Read the signer that the settings name. Nothing of a key is ever repeated in a message.

    Raises:
        InvalidSettings: A file is missing or is not what it should be, the key is that of another certificate, or the
            extra `provenance` is not installed.
    """
    if not settings.provenance_certificate:
        raise InvalidSettings("no certificate is set; set REELMILL_PROVENANCE_CERTIFICATE and REELMILL_PROVENANCE_KEY")
    require_extra("provenance", "REELMILL_PROVENANCE_CERTIFICATE")
    chain = _read(settings.provenance_certificate, "REELMILL_PROVENANCE_CERTIFICATE")
    certificate = certificates(chain, settings.provenance_certificate)[0]
    key, sign = b"", None
    if settings.provenance_signer:
        sign = _function(settings.provenance_signer)
    elif settings.provenance_key:
        key = _matching_key(settings.provenance_key, certificate)
    else:
        raise InvalidSettings(
            "a certificate is set and no key; set REELMILL_PROVENANCE_KEY or REELMILL_PROVENANCE_SIGNER"
        )
    return Identity(
        chain=chain,
        key=key,
        sign=sign,
        algorithm=_algorithm(certificate),
        name=common_name(certificate),
        starts_at=certificate.not_valid_before_utc.timestamp(),
        expires_at=certificate.not_valid_after_utc.timestamp(),
    )


def checked_end(settings: Settings) -> float:
    """Return the Unix seconds at which the certificate ends, once it fits its key; a host that submits has no key.

    Raises:
        InvalidSettings: As `load` does.
    """
    signs = settings.provenance_key or settings.provenance_signer or not settings.provenance_certificate
    return load(settings).expires_at if signs else expires_at(settings.provenance_certificate)


def expires_at(path: str) -> float:
    """Return the Unix seconds at which the first certificate of a file ends. Raises `InvalidSettings`."""
    require_extra("provenance", "REELMILL_PROVENANCE_CERTIFICATE")
    found = certificates(_read(path, "REELMILL_PROVENANCE_CERTIFICATE"), path)
    return found[0].not_valid_after_utc.timestamp()


def certificates(pem: bytes, path: str) -> list[Certificate]:
    """Return the certificates in a PEM file, at least one. Raises `InvalidSettings`."""
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415 - of the extra

    try:
        return load_pem_x509_certificates(pem)
    except ValueError as err:
        raise InvalidSettings(f"{path} holds no certificate that can be read; it must be a PEM file") from err


def common_name(certificate: Certificate) -> str:
    """Return the common name of a certificate, or all of its subject."""
    from cryptography.x509.oid import NameOID  # noqa: PLC0415 - of the extra

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def _matching_key(path: str, certificate: Certificate) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - of the extra
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - of the extra

    pem = _read(path, "REELMILL_PROVENANCE_KEY")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise InvalidSettings(
            f"{path} holds no private key that can be read; it must be PEM, without a password"
        ) from err
    if key.public_key() != certificate.public_key():
        raise InvalidSettings(f"the key in {path} is not that of the certificate of {common_name(certificate)!r}")
    return pem


def _algorithm(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 - of the extra

    key = certificate.public_key()
    curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in curves:
        return curves[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return "ps256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    raise InvalidSettings("the certificate's key is of a kind that C2PA does not know; use ECDSA P-256, RSA or Ed25519")


def _function(name: str) -> Sign:
    module, _, function = name.partition(":")
    try:
        found: Sign = getattr(import_module(module), function)
    except (ImportError, AttributeError) as err:
        raise InvalidSettings(f"REELMILL_PROVENANCE_SIGNER={name} cannot be loaded: {err}") from err
    return found


def _read(path: str, variable: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as err:
        raise InvalidSettings(
            f"{variable}: {path} cannot be read ({err.strerror}); write it, or set it to another file"
        ) from err


def _day(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(unix_s))
