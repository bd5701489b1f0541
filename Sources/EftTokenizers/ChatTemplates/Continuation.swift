// SPDX-License-Identifier: Apache-2.0
// A prompt that ends inside the last message, so that the model goes on with it.

import EftConfig
import EftJinja

/// Finds where the last message ends in a rendered chat, by a mark that is put behind it.
struct Continuation {
    private let mark: String
    private let message: String

    /// Puts the mark behind the last message.
    /// - Throws: `ChatTemplateError` (`request`) when that has no text.
    init(of messages: inout [ConfigNode]) throws(ChatTemplateError) {
        let missing = ChatTemplateError(
            .request, "continue_final_message needs a last message with a text to go on with")
        guard let last = messages.last, case .object(var object) = last.value,
            let content = object["content"]
        else { throw missing }
        switch content.value {
        case .string(let text):
            message = text
            mark = Self.mark(notIn: text)
            object["content"] = ConfigNode(text + mark + " ")
        case .array(var parts):
            let place = parts.lastIndex { part in
                guard case .object(let object) = part.value else { return false }
                return object["text"] != nil
            }
            guard let place, case .object(var part) = parts[place].value,
                case .string(let text)? = part["text"]?.value
            else { throw missing }
            message = text
            mark = Self.mark(notIn: text)
            part["text"] = ConfigNode(text + mark + " ")
            parts[place] = ConfigNode(part)
            object["content"] = ConfigNode(parts)
        default: throw missing
        }
        messages[messages.count - 1] = ConfigNode(object)
    }

    private static func mark(notIn text: String) -> String {
        var mark = "CONTINUE_FINAL_MESSAGE"
        while text.utf8.count >= mark.utf8.count, text.contains(mark) { mark += "_" }
        return mark
    }

    /// The rendered chat up to the end of the last message.
    ///
    /// Templates that trim messages also took away the blank behind the mark; then the space before the mark goes too.
    /// - Throws: `ChatTemplateError` (`request`) when the template left out the message.
    func cut(_ rendered: String) throws(ChatTemplateError) -> String {
        let bytes = Array(rendered.utf8)
        let wanted = Array(mark.utf8)
        let trimmed = Array(Self.trimmed(message[...]).utf8)
        guard let place = ByteSearch.last(of: wanted, in: bytes, before: bytes.count),
            ByteSearch.last(of: trimmed, in: bytes, before: place) != nil
        else {
            throw ChatTemplateError(
                .request,
                "this model's chat template does not show the last message as it is, so it cannot be continued"
            )
        }
        let head = String(decoding: bytes[..<place], as: UTF8.self)
        let next = place + wanted.count
        let keepsSpace = next < bytes.count && bytes[next] == UInt8(ascii: " ")
        return keepsSpace ? head : Self.trimmedEnd(head[...])
    }

    private static func trimmed(_ text: Substring) -> String {
        trimmedEnd(Substring(text.unicodeScalars.drop { $0.properties.isWhitespace }))
    }

    private static func trimmedEnd(_ text: Substring) -> String {
        var scalars = text.unicodeScalars
        while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        return String(scalars)
    }
}
