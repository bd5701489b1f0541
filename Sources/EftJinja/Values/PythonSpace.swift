// SPDX-License-Identifier: Apache-2.0
// What Python takes for white space.

/// Whether Python's `str.isspace` holds: Unicode's white space and four separators of ASCII.
func isPythonSpace(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x80 {
        return (9...13).contains(scalar.value) || (0x1C...0x20).contains(scalar.value)
    }
    return scalar.properties.isWhitespace
}
