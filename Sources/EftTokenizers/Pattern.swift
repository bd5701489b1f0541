// SPDX-License-Identifier: Apache-2.0
// Patterns compiled by PCRE2 with its JIT.

import CPCRE2

/// A compiled pattern; immutable, so any number of threads may match with it, each with its own `MatchState`.
final class Pattern: Sendable {
    /// What was written in the file.
    let source: String
    // Written once in `init`; PCRE2 documents compiled code as read-only while matching.
    private nonisolated(unsafe) let code: OpaquePointer
    private let isJIT: Bool

    /// Compiles a pattern in the dialect of tokenizer.json.
    /// - Throws: `TokenizerError` (`pattern`).
    convenience init(_ source: String) throws(TokenizerError) {
        try self.init(translated: PatternTranslator.translate(source), source: source)
    }

    /// Compiles a pattern that matches `text` literally.
    /// - Throws: `TokenizerError` (`pattern`) when it is too long.
    convenience init(literal text: String) throws(TokenizerError) {
        try self.init(translated: PatternTranslator.escape(text), source: text)
    }

    private init(translated: [UInt8], source: String) throws(TokenizerError) {
        self.source = source
        var status: Int32 = 0
        var offset = 0
        guard let context = pcre2_compile_context_create_8(nil) else {
            throw TokenizerError(.pattern, "out of memory while compiling the pattern '\(source)'")
        }
        defer { pcre2_compile_context_free_8(context) }
        pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
        let options = Self.option(PCRE2_UTF) | Self.option(PCRE2_UCP) | Self.option(PCRE2_MULTILINE)
        let compiled = translated.withUnsafeBufferPointer { bytes in
            pcre2_compile_8(bytes.baseAddress, bytes.count, options, &status, &offset, context)
        }
        guard let compiled else {
            throw TokenizerError(
                .pattern, "the pattern '\(source)' cannot be compiled: \(Self.message(status))")
        }
        code = compiled
        isJIT = pcre2_jit_compile_8(compiled, Self.option(PCRE2_JIT_COMPLETE)) == 0
    }

    deinit { pcre2_code_free_8(code) }

    /// The first match at or after `start` in `text`, which must be valid UTF-8, or nil.
    /// - Throws: `TokenizerError` (`matching`) when a limit of PCRE2 is exceeded.
    @inline(__always)
    func firstMatch(
        in text: UnsafeBufferPointer<UInt8>, from start: Int, state: MatchState
    ) throws(TokenizerError) -> (start: Int, end: Int)? {
        var status = PCRE2_ERROR_JIT_STACKLIMIT
        if isJIT {
            status = pcre2_jit_match_8(
                code, text.baseAddress, text.count, start, Self.option(PCRE2_NO_UTF_CHECK),
                state.data, state.context)
        }
        // The interpreter keeps its backtracking on the heap, up to a limit of its own.
        if status == PCRE2_ERROR_JIT_STACKLIMIT {
            status = pcre2_match_8(
                code, text.baseAddress, text.count, start,
                Self.option(PCRE2_NO_UTF_CHECK) | Self.option(PCRE2_NO_JIT), state.data,
                state.context)
        }
        // The code 0 says that there are more groups than places for them.
        if status >= 0 { return (state.bounds[0], state.bounds[1]) }
        if status == PCRE2_ERROR_NOMATCH { return nil }
        throw TokenizerError(
            .matching,
            "the pattern '\(source)' failed on a piece of \(text.count) bytes: "
                + "\(Self.message(status)); split the text into smaller parts")
    }

    private static func option(_ value: some BinaryInteger) -> UInt32 {
        UInt32(truncatingIfNeeded: value)
    }

    private static func message(_ status: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let length = buffer.withUnsafeMutableBufferPointer { bytes in
            pcre2_get_error_message_8(status, bytes.baseAddress, bytes.count)
        }
        return length > 0
            ? String(decoding: buffer.prefix(Int(length)), as: UTF8.self) : "error \(status)"
    }
}

/// What PCRE2 writes while matching; used by one thread at a time.
final class MatchState: Sendable {
    // Owned by this object; the scratch that holds it is never shared between two threads at once.
    fileprivate nonisolated(unsafe) let data: OpaquePointer
    fileprivate nonisolated(unsafe) let context: OpaquePointer
    fileprivate nonisolated(unsafe) let bounds: UnsafeMutablePointer<Int>
    private nonisolated(unsafe) let stack: OpaquePointer?

    /// Allocates room for one match and a JIT stack of up to 8 MiB, of which only used pages are touched.
    /// - Throws: `TokenizerError` (`matching`) when memory is short.
    init() throws(TokenizerError) {
        let failure = TokenizerError(.matching, "out of memory while preparing to match patterns")
        guard let data = pcre2_match_data_create_8(1, nil) else { throw failure }
        guard let context = pcre2_match_context_create_8(nil),
            let bounds = pcre2_get_ovector_pointer_8(data)
        else {
            pcre2_match_data_free_8(data)
            throw failure
        }
        self.data = data
        self.context = context
        self.bounds = bounds
        // In KiB: what the interpreter may take where the pattern needs more than the JIT's stack.
        pcre2_set_heap_limit_8(context, 64 << 10)
        stack = pcre2_jit_stack_create_8(32 << 10, 8 << 20, nil)
        pcre2_jit_stack_assign_8(context, nil, stack.map { UnsafeMutableRawPointer($0) })
    }

    deinit {
        pcre2_jit_stack_free_8(stack)
        pcre2_match_context_free_8(context)
        pcre2_match_data_free_8(data)
    }
}
