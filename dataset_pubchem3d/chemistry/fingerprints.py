"""Fingerprints of molecules."""

from functools import cache

from rdkit.Chem import rdFingerprintGenerator

FINGERPRINT_SIZE = 2048  # bits


@cache
def make_ecfp4(num_bits: int = FINGERPRINT_SIZE) -> rdFingerprintGenerator.FingerprintGenerator64:
    """Make a generator of ECFP4 fingerprints (Morgan algorithm with radius 2), folded to `num_bits`.

    Source: Rogers and Hahn, J. Chem. Inf. Model. 2010, 50, 742, extended-connectivity fingerprints. Differs: no.
    """
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=num_bits)
