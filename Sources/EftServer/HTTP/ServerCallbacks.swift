// SPDX-License-Identifier: Apache-2.0
// From the C library's calls to the objects they are about.
import CMicroHTTPD

/// The functions that the sockets' thread calls.
enum ServerCallbacks {
    /// Functions for a server, which must outlive its thread.
    static func make(_ core: ServerCore) -> eft_http_callbacks {
        var callbacks = eft_http_callbacks()
        callbacks.context = Unmanaged.passUnretained(core).toOpaque()
        callbacks.opened = { context, descriptor, peer in
            guard let core: ServerCore = object(context) else { return nil }
            let peer = peer.map { String(cString: $0) } ?? ""
            return Unmanaged.passRetained(core.open(descriptor, peer: peer)).toOpaque()
        }
        callbacks.closed = { context, pointer in
            guard let core: ServerCore = object(context), let pointer else { return }
            core.close(Unmanaged<Connection>.fromOpaque(pointer).takeRetainedValue())
        }
        callbacks.request_line = { context, connection, exchange, target in
            guard let core: ServerCore = object(context), let exchange, let target,
                let connection: Connection = object(connection),
                let begun = core.begin(
                    ExchangeHandle(pointer: exchange), target: String(cString: target),
                    on: connection)
            else { return nil }
            return Unmanaged.passRetained(begun).toOpaque()
        }
        callbacks.head = { request, method in
            guard let exchange: Exchange = object(request), let method else { return false }
            return exchange.head(method: String(cString: method))
        }
        callbacks.body = { request, bytes, count in
            guard let exchange: Exchange = object(request) else { return false }
            return exchange.body(UnsafeBufferPointer(start: bytes, count: count))
        }
        callbacks.ready = { request in
            let exchange: Exchange? = object(request)
            return exchange?.ready() ?? false
        }
        callbacks.read = { request, target, capacity in
            guard let exchange: Exchange = object(request) else { return -1 }
            return exchange.read(into: UnsafeMutableBufferPointer(start: target, count: capacity))
        }
        callbacks.completed = { request in
            guard let request else { return }
            Unmanaged<Exchange>.fromOpaque(request).takeRetainedValue().completed()
        }
        return callbacks
    }
}

/// The object behind a pointer that C has kept.
private func object<T: AnyObject>(_ pointer: UnsafeMutableRawPointer?) -> T? {
    pointer.map { Unmanaged<T>.fromOpaque($0).takeUnretainedValue() }
}
