"""Binary numbers: what the 512 binary digits that HCL asks for make of a number that is not whole.

Numbers are computed in decimal here. The binary digits decide how Terraform writes a number with many digits, such as
1/3, and whether two such numbers are equal.
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

_BITS = 512
_EXACT_DIGITS = 150
"""The maximum number of digits that are written without an exponent."""
_LONGEST = 160


def nearest(value: Decimal) -> Fraction:
    """Return the number with 512 binary digits that is nearest to a value."""
    numerator, denominator = value.copy_abs().as_integer_ratio()
    if not numerator:
        return Fraction(0)
    shift = _BITS - (numerator.bit_length() - denominator.bit_length())
    scaled = Fraction(numerator << shift, denominator) if shift >= 0 else Fraction(numerator, denominator << -shift)
    if scaled >= 1 << _BITS:
        shift, scaled = shift - 1, scaled / 2
    found = Fraction(round(scaled)) / (Fraction(2) ** shift)
    return -found if value < 0 else found


def shortest(value: Decimal) -> str:
    """Return the fewest decimal digits that stand for the same binary number, without an exponent."""
    if len(value.as_tuple().digits) <= _EXACT_DIGITS:
        return format(value, "f")
    binary = nearest(value)
    exact = Context(prec=3 * _LONGEST, Emin=-999_999, Emax=999_999).divide(
        Decimal(binary.numerator), Decimal(binary.denominator)
    )
    for digits in range(_EXACT_DIGITS, _LONGEST):
        found = Context(prec=digits, Emin=-999_999, Emax=999_999).plus(exact)
        if nearest(found) == binary:
            return format(found, "f")
    return format(value, "f")
