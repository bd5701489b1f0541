// SPDX-License-Identifier: Apache-2.0
// The formats of strings as regular expressions.

/// Formats of JSON Schema; some admit fewer strings than their standard, none admits more.
enum StringFormats {
    /// An expression that matches whole strings of a format, or nil when the format is not known.
    static func pattern(of format: String) -> String? {
        switch format {
        case "date": date
        case "time": time
        case "date-time": "(\(date))T(\(time))"
        case "uuid": "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
        case "email":
            "[A-Za-z0-9_+-]{1,20}(\\.[A-Za-z0-9_+-]{1,20}){0,2}@(\(label)\\.){1,3}[A-Za-z]{2,12}"
        case "hostname": "(\(label)\\.){0,3}[A-Za-z]([A-Za-z0-9-]{0,40}[A-Za-z0-9])?"
        case "ipv4": ipv4
        case "ipv6": ipv6
        case "uri":
            "[A-Za-z][A-Za-z0-9+.-]{0,20}://(\(label)\\.){0,4}\(label)(:[1-9][0-9]{0,3})?"
                + "(/(\(pathCharacter))*)*(\\?(\(pathCharacter)|[/?])*)?(#(\(pathCharacter)|[/?])*)?"
        default: nil
        }
    }

    private static let date: String = {
        let year = "(\\d{3}[1-9]|\\d{2}[1-9]0|\\d[1-9]00|[1-9]000)"
        let leapYear = "(\\d\\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
        return "\(year)-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)"
            + "|02-(0[1-9]|1\\d|2[0-8]))|\(leapYear)-02-29"
    }()
    private static let time =
        "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
    private static let label = "[A-Za-z0-9]([A-Za-z0-9-]{0,40}[A-Za-z0-9])?"
    private static let ipv4: String = {
        let byte = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
        return "(\(byte)\\.){3}\(byte)"
    }()
    private static let ipv6: String = {
        let group = "[0-9a-fA-F]{1,4}"
        var forms = ["(\(group):){7}\(group)", "::(\(group)(:\(group)){0,6})?"]
        // Some groups in front of the gap, and those behind it.
        for front in 1...7 {
            let behind = 7 - front
            let tail = behind == 0 ? "" : "(\(group)(:\(group)){0,\(behind - 1)})?"
            forms.append("(\(group):){\(front)}:\(tail)")
        }
        return forms.joined(separator: "|")
    }()
    private static let pathCharacter = "[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}"
}
