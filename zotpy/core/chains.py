"""How chains of certificates are verified, the same on every Python, and what to do if one is not good."""

import ssl

_EXPIRED = 10
_OTHER_NAMES = frozenset({62, 64})
"""OpenSSL's numbers for certificates that are for other hosts, or for other IP addresses (`X509_V_ERR_...`)."""


def accept_usual_chains(context: ssl.SSLContext) -> None:
    """Accept the chains that Go's programs accept, zot among them.

    Python 3.13 began to refuse certificates without some extensions that RFC 5280 asks for, which those of many private
    authorities lack. Earlier versions refuse an authority that another one has signed, unless that is trusted as well.
    Signatures, times, names, purposes and the constraints of authorities are checked all the same.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def refusal_of(error: ssl.SSLCertVerificationError, host: str, setting: str) -> str:
    """Return a sentence for operators about the certificate of `host`, which we refuse.

    `setting` is where they name the authorities to trust.
    """
    if error.verify_code == _EXPIRED:
        return f"the certificate of {host} has expired"
    if error.verify_code in _OTHER_NAMES:
        return f"the certificate of {host} is for other names: write one of these in the address"
    return f"the certificate of {host} is not trusted ({error.verify_message}): name its authority in {setting}"
