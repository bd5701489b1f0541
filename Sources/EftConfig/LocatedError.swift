// SPDX-License-Identifier: Apache-2.0
// The one shape of an error: a code for programs, and what, where and what to do for people.

/// An error of a module whose codes are `Kind`.
///
/// Each module names its own by an alias, such as `FormatError`, and adds the codes that only it has.
package struct LocatedError<Kind: Sendable & Hashable>: Error, Sendable, CustomStringConvertible {
    /// The codes of the module.
    package typealias Code = Kind

    /// The kind of fault.
    package let code: Code
    /// What is wrong and what to do.
    package let message: String
    /// The file or folder, when known.
    package var path: String?
    /// The tensor or module, when it is about one.
    package var tensor: String?
    /// The path of keys to the faulty value, such as `datasets[0].path`; empty at the top.
    package let keyPath: String
    /// Line in the file, counted from 1, when known.
    package let line: Int?

    /// Makes an error about a file, a folder or a tensor.
    package init(
        _ code: Code, _ message: String, path: String? = nil, tensor: String? = nil,
        keyPath: String = "", line: Int? = nil
    ) {
        self.code = code
        self.message = message
        self.path = path
        self.tensor = tensor
        self.keyPath = keyPath
        self.line = line
    }

    /// Makes an error about a place in a text file.
    package init(
        _ code: Code, _ message: String, file: String?, keyPath: String = "", line: Int? = nil
    ) {
        self.init(code, message, path: file, keyPath: keyPath, line: line)
    }

    /// The same as `path`, where it is always a file.
    package var file: String? {
        get { path }
        set { path = newValue }
    }

    package var description: String {
        located(message, path: path, line: line, keyPath: keyPath, tensor: tensor)
    }
}

/// A message behind the place that it is about: `file:line (keys): tensor 'name': message`, as far as that is known.
package func located(
    _ message: String, path: String?, line: Int? = nil, keyPath: String = "", tensor: String? = nil
) -> String {
    var place = path ?? ""
    if let line { place += place.isEmpty ? "line \(line)" : ":\(line)" }
    let keys = excerpt(keyPath)
    if !keys.isEmpty { place += place.isEmpty ? keys : " (\(keys))" }
    let parts = [place, tensor.map { "tensor '\($0)'" } ?? "", message]
    return parts.filter { !$0.isEmpty }.joined(separator: ": ")
}
