// SPDX-License-Identifier: Apache-2.0
// The bytes of a safetensors header, and of the index of a sharded checkpoint.

extension SafetensorsHeader {
    /// The length and the JSON header for tensors that follow in this order, padded to a multiple of 8 bytes.
    static func encode(_ tensors: [TensorInfo], metadata: [String: String]) -> [UInt8] {
        var fields: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map {
                "\(quoted($0.key)):\(quoted($0.value))"
            }
            fields.append("\(quoted(metadataKey)):{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for tensor in tensors {
            let dims = tensor.shape.dims.map(String.init).joined(separator: ",")
            let end = offset + tensor.byteCount
            fields.append(
                "\(quoted(tensor.name)):{\"dtype\":\"\(tensor.dtype.rawValue)\","
                    + "\"shape\":[\(dims)],\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        var json = Array("{\(fields.joined(separator: ","))}".utf8)
        while json.count % 8 != 0 { json.append(UInt8(ascii: " ")) }
        let length = UInt64(json.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + json
    }

    /// The index of a sharded checkpoint, keys sorted as the field's tools write it.
    static func encodeIndex(totalSize: Int, weightMap: [String: String]) -> String {
        let lines = weightMap.sorted { $0.key < $1.key }.map {
            "    \(quoted($0.key)): \(quoted($0.value))"
        }
        return """
            {
              "metadata": {
                "total_size": \(totalSize)
              },
              "weight_map": {
            \(lines.joined(separator: ",\n"))
              }
            }

            """
    }

    /// A JSON string.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
