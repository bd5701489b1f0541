// SPDX-License-Identifier: Apache-2.0
// The functions that every template can call.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A function of the language.
typealias GlobalFunction =
    @Sendable (Interpreter, CallArguments) throws(TemplateError) -> TemplateValue

/// Functions by their names.
enum GlobalFunctions {
    static let all: [String: GlobalFunction] = [
        "range": range, "dict": dictionary, "namespace": namespace, "cycler": cycler,
        "joiner": joiner, "raise_exception": raise, "strftime_now": formattedTime,
    ]

    @Sendable private static func range(
        _ interpreter: Interpreter, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["start", "stop", "step"], of: "range")
        _ = try arguments.required(0)
        var start = try arguments.integer(0, default: 0)
        var stop = 0
        if arguments[1] == nil {
            (start, stop) = (0, start)
        } else {
            stop = try arguments.integer(1, default: 0)
        }
        let step = try arguments.integer(2, default: 1)
        guard step != 0 else { throw TemplateError(.value, "a range's step is zero") }
        let tooLarge = TemplateError(
            .limit, "a range has more than \(TemplateLimits.rangeItems) items")
        let (span, overflows) =
            step > 0
            ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
        guard !overflows else { throw tooLarge }
        guard span > 0 else { return try .list([]) }
        let size = Int(clamping: step.magnitude)
        let count = (span - 1) / size + 1
        guard count <= TemplateLimits.rangeItems else { throw tooLarge }
        // Every item lies between the bounds.
        return try interpreter.made((0..<count).map { .integer(start + $0 * step) })
    }

    @Sendable private static func dictionary(
        _ interpreter: Interpreter, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        .dictionary(try mapping(interpreter, given, "dict"))
    }

    @Sendable private static func namespace(
        _ interpreter: Interpreter, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        interpreter.namespaces.append(try mapping(interpreter, given, "namespace"))
        let index = interpreter.namespaces.count - 1
        return .object(ObjectReference(kind: .namespace, index: index))
    }

    private static func mapping(
        _ interpreter: Interpreter, _ given: CallArguments, _ function: String
    ) throws(TemplateError) -> TemplateDictionary {
        guard given.positional.count <= 1 else {
            throw TemplateError(.type, "'\(function)' takes at most one value without a name")
        }
        var result = TemplateDictionary()
        switch given.positional.first {
        case nil: break
        case .dictionary(let dictionary)?: result = dictionary
        case let pairs?:
            for pair in try interpreter.items(of: pairs) {
                let parts = try interpreter.items(of: pair)
                guard parts.count == 2 else {
                    throw TemplateError(.value, "'\(function)' needs pairs of key and value")
                }
                try interpreter.charge(for: parts[0])
                try result.set(parts[0], parts[1])
            }
        }
        try interpreter.reserve(
            TemplateLimits.entryBytes, times: result.count + given.keywords.count)
        for (name, value) in given.keywords { try result.set(name, value) }
        return result
    }

    @Sendable private static func cycler(
        _ interpreter: Interpreter, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        guard !given.positional.isEmpty, given.keywords.isEmpty else {
            throw TemplateError(.type, "'cycler' needs items to go through")
        }
        interpreter.cyclers.append(CyclerState(items: given.positional))
        return .object(ObjectReference(kind: .cycler, index: interpreter.cyclers.count - 1))
    }

    @Sendable private static func joiner(
        _ interpreter: Interpreter, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["sep"], of: "joiner")
        interpreter.joiners.append(JoinerState(separator: try arguments.text(0) ?? ", "))
        return .object(ObjectReference(kind: .joiner, index: interpreter.joiners.count - 1))
    }

    @Sendable private static func raise(
        _ interpreter: Interpreter, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["message"], of: "raise_exception")
        throw TemplateError(.raised, try interpreter.printed(try arguments.required(0)))
    }

    @Sendable private static func formattedTime(
        _ interpreter: Interpreter, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["format"], of: "strftime_now")
        let format = try arguments.requiredText(0)
        var seconds = interpreter.now.map { time_t($0) } ?? time(nil)
        var parts = tm()
        guard !format.utf8.contains(0), format.utf8.count <= 1024,
            localtime_r(&seconds, &parts) != nil
        else { throw TemplateError(.value, "this format of a time is not accepted") }
        if format.isEmpty { return .string("") }
        var buffer = [CChar](repeating: 0, count: 8192)
        let count = strftime(&buffer, buffer.count, format, &parts)
        let text = buffer.prefix(count).map { UInt8(bitPattern: $0) }
        return .string(String(decoding: text, as: UTF8.self))
    }
}
