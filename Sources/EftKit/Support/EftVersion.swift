// SPDX-License-Identifier: Apache-2.0
// The version of the library.
import EftConfig

/// The version of the library and of the program `eft`.
public enum EftVersion {
    /// The version, by the rules of semantic versioning.
    public static let current = ProgramVersion.current
}
