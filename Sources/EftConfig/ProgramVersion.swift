// SPDX-License-Identifier: Apache-2.0
// The version, for parts that write it into files.

/// The version of Eft.
package enum ProgramVersion {
    /// The version, by the rules of semantic versioning.
    package static let current = "0.1.0"
}
