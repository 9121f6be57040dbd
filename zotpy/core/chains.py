"""How chains of certificates are verified: the same on every Python."""

import ssl


def accept_usual_chains(context: ssl.SSLContext) -> None:
    """Accept the chains that Go's programs accept, zot among them.

    Python 3.13 began to refuse certificates without some extensions that RFC 5280 asks for, which those of many private
    authorities lack. Earlier versions refuse an authority that another one has signed, unless that is trusted as well.
    Signatures, times, names, purposes and the constraints of authorities are checked all the same.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
