// SPDX-License-Identifier: Apache-2.0
// A headless Chromium that is told what to do over two pipes, by its DevTools protocol.
import EftConfig
import EftFormats
import EftTestSupport

#if canImport(Glibc)
    import Glibc
#endif

/// What a browser did not do.
struct BrowserError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A browser with one page.
final class Browser {
    /// The program, when the machine has it.
    static let program: String? = [
        "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome",
    ].first { (path: String) in access(path, X_OK) == 0 }

    private let folder: TemporaryFolder
    private let process: pid_t
    private let commands: Int32
    private let answers: Int32
    private var session = ""
    private var calls = 0
    private var pending: [UInt8] = []
    /// The server that it talks to, kept as long as the browser.
    var server: AnyObject?
    /// What the page told unasked, in order.
    private(set) var events: [ConfigNode?] = []

    /// Starts a browser with an empty page of a size.
    /// - Throws: `BrowserError` when it does not start.
    init(width: Int = 1280, height: Int = 800) throws {
        guard let program = Browser.program else { throw BrowserError("no Chromium") }
        folder = try TemporaryFolder()
        let (down, up) = (try Browser.makePipe(), try Browser.makePipe())
        (commands, answers) = (down.write, up.read)
        defer { for end in [down.read, up.write] { close(end) } }
        process = try Browser.spawn(
            [
                program, "--headless=new", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking", "--disable-extensions",
                "--remote-debugging-pipe", "--user-data-dir=\(folder.file("profile"))",
                "--window-size=\(width),\(height)", "about:blank",
            ], commands: down.read, answers: up.write)
        try open(width: width, height: height)
    }

    deinit {
        // Asked to close, it ends its helpers first, which would go on writing to its folder.
        session = ""
        _ = try? call("Browser.close")
        var status: Int32 = 0
        var left = 200
        while left > 0, waitpid(process, &status, WNOHANG) == 0 {
            usleep(25_000)
            left -= 1
        }
        if left == 0 {
            kill(process, SIGKILL)
            waitpid(process, &status, 0)
        }
        close(commands)
        close(answers)
    }

    private static func makePipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw BrowserError("no pipe: \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// Runs a program whose descriptors 3 and 4 are pipes.
    private static func spawn(
        _ arguments: [String], commands: Int32, answers: Int32
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Out of the way first: one of them may be 3 or 4 itself.
        let (from, to) = (fcntl(commands, F_DUPFD_CLOEXEC, 10), fcntl(answers, F_DUPFD_CLOEXEC, 10))
        defer { for end in [from, to] { close(end) } }
        posix_spawn_file_actions_adddup2(&actions, from, 3)
        posix_spawn_file_actions_adddup2(&actions, to, 4)
        for descriptor in [STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0)
        }
        var words = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        guard posix_spawn(&process, arguments[0], &actions, nil, &words, environ) == 0 else {
            throw BrowserError("\(arguments[0]) does not start")
        }
        return process
    }

    private func open(width: Int, height: Int) throws {
        let target = try call("Target.createTarget", ["url": "about:blank"])["targetId"].text
        let attached = try call(
            "Target.attachToTarget",
            ["targetId": ConfigNode(target ?? ""), "flatten": true])
        guard let session = attached["sessionId"].text else { throw BrowserError("no session") }
        self.session = session
        for domain in ["Page", "Runtime", "Network", "Log"] { try call("\(domain).enable") }
        try call(
            "Emulation.setDeviceMetricsOverride",
            [
                "width": ConfigNode(width), "height": ConfigNode(height), "deviceScaleFactor": 1,
                "mobile": false,
            ])
    }

    // MARK: The protocol

    /// Calls a method and waits for its result.
    @discardableResult
    private func call(_ method: String, _ parameters: ConfigObject = [:]) throws -> ConfigNode? {
        calls += 1
        let number = calls
        var message: ConfigObject = [
            "id": ConfigNode(number), "method": ConfigNode(method),
            "params": ConfigNode(parameters),
        ]
        if !session.isEmpty { message["sessionId"] = ConfigNode(session) }
        try send(JSONWriter.bytes(ConfigNode(message), layout: .minimal) + [0])
        while true {
            let answer = try receive()
            guard answer["id"].integer == number else {
                if answer["method"].text != nil { events.append(answer) }
                continue
            }
            if let message = answer["error"]["message"].text {
                throw BrowserError("\(method): \(message)")
            }
            return answer["result"]
        }
    }

    private func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { write(commands, $0.baseAddress, $0.count) }
            guard count > 0 else { throw BrowserError("the browser is gone: \(errno)") }
            sent += count
        }
    }

    private func receive() throws -> ConfigNode? {
        while true {
            if let end = pending.firstIndex(of: 0) {
                let message = Array(pending[..<end])
                pending.removeSubrange(...end)
                return try JSONParser.parse(message)
            }
            var waiting = pollfd(fd: answers, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 60_000) == 1 else {
                throw BrowserError("no answer within a minute")
            }
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            let count = read(answers, &buffer, buffer.count)
            guard count > 0 else { throw BrowserError("the browser has ended") }
            pending += buffer[..<count]
        }
    }

    // MARK: What a person does

    /// Opens an address and waits until the page is complete.
    func visit(_ url: String) throws {
        try call("Page.navigate", ["url": ConfigNode(url)])
        try wait("document.readyState === 'complete' && location.href !== 'about:blank'")
    }

    /// The value of an expression, promises kept.
    @discardableResult
    func evaluate(_ expression: String) throws -> ConfigNode? {
        let answer = try call(
            "Runtime.evaluate",
            ["expression": ConfigNode(expression), "returnByValue": true, "awaitPromise": true])
        if let failure = answer["exceptionDetails"]["exception"]["description"].text {
            throw BrowserError("\(expression): \(failure)")
        }
        return answer["result"]["value"]
    }

    /// Waits until an expression holds.
    func wait(_ expression: String) throws {
        for _ in 0..<600 {
            if case .bool(true)? = try evaluate("Boolean(\(expression))")?.value { return }
            usleep(50_000)
        }
        throw BrowserError("does not come true: \(expression)")
    }

    /// Types a text into what has the focus, and the enter key.
    func type(_ text: String) throws {
        try insert(text)
        try press("Enter")
    }

    /// Types a text into what has the focus.
    func insert(_ text: String) throws {
        try call("Input.insertText", ["text": ConfigNode(text)])
    }

    /// Keys that a page also knows by their codes.
    private static let codes = [
        "Enter": 13, "Escape": 27, "ArrowUp": 38, "Tab": 9, "o": 79, "/": 191, "?": 191,
    ]

    /// Presses a key.
    /// - Parameter modifiers: 2 for control, 8 for shift, and their sum for both.
    func press(_ key: String, modifiers: Int = 0) throws {
        let text = key == "Enter" ? "\r" : key.count == 1 && modifiers & 2 == 0 ? key : ""
        for kind in ["keyDown", "keyUp"] {
            try call(
                "Input.dispatchKeyEvent",
                [
                    "type": ConfigNode(kind), "key": ConfigNode(key), "code": ConfigNode(key),
                    "modifiers": ConfigNode(modifiers),
                    "windowsVirtualKeyCode": ConfigNode(Browser.codes[key] ?? 0),
                    "text": ConfigNode(kind == "keyDown" ? text : ""),
                ])
        }
    }

    /// Loads the page again and waits until it is complete.
    func reload() throws {
        try evaluate("window.isOld = true")
        try call("Page.reload")
        try wait("!window.isOld && document.readyState === 'complete'")
    }

    /// Has the page in light or dark colours.
    func prefer(_ scheme: String) throws {
        try call(
            "Emulation.setEmulatedMedia",
            ["features": [["name": "prefers-color-scheme", "value": ConfigNode(scheme)]]])
    }

    /// Leaves the page's origin so many bytes to store.
    func limitStorage(_ origin: String, bytes: Int) throws {
        try call(
            "Storage.overrideQuotaForOrigin",
            ["origin": ConfigNode(origin), "quotaSize": ConfigNode(bytes)])
    }

    // MARK: What went on in the page

    /// Requests that the page sent.
    var requests: [ConfigNode?] {
        events.filter { $0["method"].text == "Network.requestWillBeSent" }
            .map { $0["params"]["request"] }
    }

    /// Exceptions, and errors in the console.
    var complaints: [String] {
        events.compactMap { event in
            switch event["method"].text {
            case "Runtime.exceptionThrown":
                event["params"]["exceptionDetails"]["exception"]["description"].text ?? "exception"
            case "Log.entryAdded" where event["params"]["entry"]["level"].text == "error":
                event["params"]["entry"]["text"].text
            case "Runtime.consoleAPICalled" where event["params"]["type"].text == "error":
                "console.error"
            default: nil
            }
        }
    }
}
