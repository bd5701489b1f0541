// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// A program that uses Eft as a library. In a package of its own, write the URL or the path of Eft's repository.
import PackageDescription

let package = Package(
    name: "eft-library-example",
    dependencies: [.package(name: "eft", path: "../..")],
    targets: [
        .executableTarget(
            name: "Tour", dependencies: [.product(name: "EftKit", package: "eft")],
            swiftSettings: [.swiftLanguageMode(.v6)])
    ])
