// SPDX-License-Identifier: Apache-2.0
// The operations of a pickle that name and call things: here everything but `TorchGlobal` is refused.

extension PickleMachine {
    /// Handles an operation that refers to something outside of the pickle.
    mutating func refer(_ operation: UInt8) throws(FormatError) -> Bool {
        switch operation {
        case UInt8(ascii: "c"):
            let module = try reader.line()
            try pushGlobal(module: module, name: try reader.line())
        case 0x93:
            let name = try pop()
            guard case .text(let module) = try pop(), case .text(let name) = name else {
                throw damaged("a global is named by something else than text")
            }
            try pushGlobal(module: module, name: name)
        case UInt8(ascii: "i"):
            // Makes an object of a class on the spot; checkpoints never need it.
            let module = try reader.line()
            throw refused("\(module).\(try reader.line())")
        case UInt8(ascii: "R"): try call()
        case 0x81: try call()
        case UInt8(ascii: "b"): try setState()
        case UInt8(ascii: "Q"): try pushStorage()
        default: return false
        }
        return true
    }

    private func refused(_ name: String) -> FormatError {
        reader.error(
            .unsupported,
            "the pickle refers to \(name), which is not part of a plain state dict; "
                + "nothing was executed")
    }

    private mutating func pushGlobal(module: String, name: String) throws(FormatError) {
        guard let global = TorchGlobal(module: module, name: name) else {
            throw refused("\(module).\(name)")
        }
        stack.append(.global(global))
    }

    /// Calls a known name with a tuple of arguments.
    private mutating func call() throws(FormatError) {
        let arguments = try pop()
        guard case .global(let global) = try pop(), case .tuple(let index) = arguments else {
            throw damaged("a call of something that is no function")
        }
        guard let result = global.call(heap.tuples[index], &heap) else {
            throw damaged("\(global) is called with arguments that do not fit, or out of bounds")
        }
        stack.append(result)
    }

    /// Attributes of a dictionary or tensor (such as a state dict's version numbers) are passed over.
    private mutating func setState() throws(FormatError) {
        _ = try pop()
        switch try top() {
        case .dictionary, .tensor: break
        default: throw damaged("attributes of something that can have none")
        }
    }

    /// A persistent id: ("storage", type, key, location, elements), in old files with a view (key, offset, elements).
    private mutating func pushStorage() throws(FormatError) {
        guard case .tuple(let index) = try pop() else {
            throw damaged("a persistent id is no tuple")
        }
        let fields = heap.tuples[index]
        guard fields.count == 5 || fields.count == 6, case .text("storage") = fields[0],
            case .global(.storage(let dtype)) = fields[1], case .text(let key) = fields[2],
            case .integer(let count) = fields[4], count >= 0
        else { throw damaged("a persistent id describes no storage") }
        var view = 0..<count
        if fields.count == 6, let part = heap.elements(fields[5]) {
            guard part.count == 3, case .integer(let start) = part[1],
                case .integer(let size) = part[2], start >= 0, size >= 0, start <= count,
                size <= count - start
            else { throw damaged("a view lies outside of its storage") }
            view = start..<start + size
        }
        stack.append(
            heap.makeStorage(TorchStorage(key: key, dtype: dtype, count: count, view: view)))
    }
}
