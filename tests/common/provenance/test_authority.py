"""A farm's own authority: a signer that it vouches for, and no more."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from reelmill_common.provenance.authority import issue


def test_the_signer_is_vouched_for_by_its_authority_alone() -> None:
    issued = issue("main")

    certificate, authority = (x509.load_pem_x509_certificate(pem) for pem in (issued.certificate, issued.authority))
    certificate.verify_directly_issued_by(authority)
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(issue("main").authority))
    assert load_pem_private_key(issued.key, password=None).public_key() == certificate.public_key()


def test_the_signer_may_sign_claims_and_no_certificates() -> None:
    certificate = x509.load_pem_x509_certificate(issue("main").certificate)

    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
