"""Marks of origin: what says in a clip's file that a model made it, and what recognises a copy without these.

May import `settings`, `recipe`, `storage`, `text` and errors, never the ledger. c2pa, cryptography, numpy and pdqhash
are of the extra `provenance`: only `signer`, `identity`, `authority`, `fingerprint` and `recognition` import them.
"""
