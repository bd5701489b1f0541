// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// Eft: fine-tuning, quantizing and running large language models in little memory.
// Targets stand lowest layer first; a target may import only targets that stand above it.
import PackageDescription

/// Arithmetic is compiled optimized in every configuration (a debug build would be 12 times slower), and without
/// contraction: a fused multiply-add is used only where the source says so, which keeps results reproducible.
let kernelSettings: [CSetting] = [
    .unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno"]),
    .headerSearchPath("."),
    .enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error),
]

let swiftSettings: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

/// - Parameter testable: whether tests look at parts that no other target needs to see, also in release builds.
func layer(
    _ name: String, _ dependencies: [Target.Dependency], testable: Bool = false
) -> Target {
    .target(
        name: name, dependencies: dependencies, exclude: ["README.md"],
        swiftSettings: swiftSettings + (testable ? [.unsafeFlags(["-enable-testing"])] : []))
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: name + "Tests",
        dependencies: [.target(name: name), "EftTestSupport"] + dependencies,
        swiftSettings: swiftSettings)
}

let package = Package(
    name: "eft",
    products: [
        .executable(name: "eft", targets: ["eft"]),
        .library(name: "EftKit", targets: ["EftKit"]),
    ],
    targets: [
        // Layer 0: C arithmetic, and shims for Debian's libraries.
        .target(
            name: "CEftKernels", exclude: ["README.md"], cSettings: kernelSettings,
            linkerSettings: [.linkedLibrary("pthread"), .linkedLibrary("m")]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(
            name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
        // Without its pkg-config file, whose flags (for Windows) the package manager warns of.
        .systemLibrary(name: "CUTF8Proc", providers: [.apt(["libutf8proc-dev"])]),
        .systemLibrary(name: "CLAPACK", providers: [.apt(["libopenblas-dev", "liblapacke-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(
            name: "CURing", cSettings: [.enableWarning("all"), .treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("uring")]),
        .target(
            name: "CLineEditor",
            cSettings: [
                .enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error),
            ],
            linkerSettings: [.linkedLibrary("edit")]),
        .systemLibrary(name: "CMalloc"),
        // Opens the library when it is first needed: only its headers are used here (libcurl4-gnutls-dev).
        .target(
            name: "CCurl",
            cSettings: [
                .enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error),
            ]),
        .target(
            name: "CMicroHTTPD",
            cSettings: [
                .enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error),
            ],
            linkerSettings: [.linkedLibrary("microhttpd")]),

        // Layer 1: values without models.
        layer("EftTensor", ["CEftKernels", "CMalloc", "CLAPACK"]),
        layer("EftConfig", ["CYAML"]),
        layer("EftJinja", ["EftConfig"]),
        layer("EftGGUF", ["EftConfig"]),

        // Layer 2: files and text.
        layer(
            "EftFormats",
            ["CEftKernels", "EftTensor", "EftConfig", "EftGGUF", "CZlib", "CZstd", "CURing"],
            testable: true),
        layer(
            "EftTokenizers", ["EftConfig", "EftJinja", "EftGGUF", "CPCRE2", "CUTF8Proc"],
            testable: true),
        layer("EftHub", ["CCurl", "EftTensor", "EftConfig", "EftFormats"], testable: true),
        layer("EftQuant", ["EftTensor", "EftConfig", "EftGGUF", "EftFormats", "CEftKernels"]),

        // Layers 3 and 4: the decoder.
        layer("EftNN", ["EftTensor", "EftQuant", "CEftKernels"]),
        layer(
            "EftModels",
            ["EftTensor", "EftConfig", "EftGGUF", "EftFormats", "EftQuant", "EftNN"]),

        // Layer 5: what is done with a model; these never import each other.
        layer(
            "EftConversion",
            [
                "EftTensor", "EftConfig", "EftFormats", "EftTokenizers", "EftQuant", "EftNN",
                "EftModels", "CEftKernels",
            ], testable: true),
        layer(
            "EftTraining",
            [
                "EftTensor", "EftConfig", "EftFormats", "EftHub", "EftTokenizers", "EftQuant",
                "EftNN",
                "EftModels",
            ], testable: true),
        layer(
            "EftGeneration",
            [
                "CEftKernels", "EftTensor", "EftConfig", "EftFormats", "EftTokenizers", "EftQuant",
                "EftNN",
                "EftModels",
            ], testable: true),
        layer(
            "EftPlanning",
            [
                "CEftKernels", "EftTensor", "EftConfig", "EftFormats", "EftQuant", "EftNN",
                "EftModels",
            ]),

        // Layers 6 and 7: the server, the library's face, and the command line.
        layer(
            "EftServer",
            [
                "EftTensor", "EftConfig", "EftFormats", "EftTokenizers", "EftModels",
                "EftGeneration", "CMicroHTTPD",
            ], testable: true),
        layer(
            "EftKit",
            [
                "EftTensor", "EftConfig", "EftFormats", "EftHub", "EftTokenizers", "EftQuant",
                "EftModels", "EftConversion", "EftTraining", "EftGeneration", "EftPlanning",
                "EftServer",
            ]),
        layer("EftCommandLine", ["EftConfig"]),
        .executableTarget(
            name: "eft",
            dependencies: [
                "EftCommandLine", "EftTensor", "EftConfig", "EftFormats", "EftHub", "EftTokenizers",
                "EftQuant", "EftNN",
                "EftModels", "EftConversion", "EftTraining", "EftGeneration", "EftPlanning",
                "EftServer", "EftKit", "EftBenchmarks", "CLineEditor",
            ],
            exclude: ["README.md"],
            // Tests look at the verbs' specifications.
            swiftSettings: swiftSettings + [.unsafeFlags(["-enable-testing"])],
            // The system maps code in groups of 16 pages. Loaded at a multiple of them, the same run maps the same pages.
            linkerSettings: [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "max-page-size=65536"])]),
        .target(
            name: "EftBenchmarks",
            dependencies: [
                "EftTensor", "EftConfig", "EftFormats", "EftTokenizers", "EftQuant", "EftNN",
                "EftModels", "EftConversion", "EftTraining", "EftGeneration", "EftPlanning",
                "EftServer", "EftCommandLine",
            ],
            path: "Benchmarks/EftBenchmarks", swiftSettings: swiftSettings),

        // Tests.
        .target(
            name: "EftTestSupport", dependencies: ["EftTensor", "EftConfig", "EftFormats"],
            path: "Tests/EftTestSupport", swiftSettings: swiftSettings),
        tests("EftTensor", ["CEftKernels"]),
        tests("EftConfig", ["EftTensor"]),
        tests("EftJinja", ["EftTensor", "EftConfig"]),
        tests("EftGGUF", ["CEftKernels", "EftTensor", "EftConfig", "EftFormats"]),
        tests("EftFormats", ["EftTensor", "EftConfig"]),
        .target(
            name: "EftTestHub", dependencies: ["EftHub", "EftServer", "EftTestSupport"],
            path: "Tests/EftTestHub", swiftSettings: swiftSettings),
        tests("EftHub", ["EftTestHub", "EftTensor", "EftConfig", "EftFormats"]),
        tests("EftTokenizers", ["EftTensor", "EftConfig", "EftFormats"]),
        tests("EftQuant", ["EftTensor", "EftConfig", "EftGGUF", "EftFormats", "CEftKernels"]),
        tests("EftNN", ["EftTensor", "EftQuant", "CEftKernels"]),
        tests(
            "EftModels", ["EftTensor", "EftConfig", "EftGGUF", "EftFormats", "EftQuant", "EftNN"]),
        tests(
            "EftConversion",
            [
                "EftTensor", "EftConfig", "EftFormats", "EftTokenizers", "EftQuant", "EftNN",
                "EftModels",
            ]),
        tests(
            "EftTraining",
            [
                "EftTensor", "EftConfig", "EftFormats", "EftHub", "EftTokenizers", "EftQuant",
                "EftNN", "EftModels",
            ]),
        tests(
            "EftGeneration",
            [
                "EftTensor", "EftConfig", "EftFormats", "EftTokenizers", "EftQuant", "EftNN",
                "EftModels",
            ]),
        tests(
            "EftPlanning",
            ["EftTensor", "EftConfig", "EftFormats", "EftQuant", "EftNN", "EftModels"]),
        .target(
            name: "CTestTLS", path: "Tests/CTestTLS",
            cSettings: [.enableWarning("all"), .treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("gnutls")]),
        tests(
            "EftServer",
            [
                "EftTensor", "EftConfig", "EftFormats", "EftTokenizers", "EftNN", "EftModels",
                "EftGeneration", "CTestTLS",
            ]),
        tests("EftKit", ["EftConfig", "EftFormats", "EftBenchmarks"]),
        tests("EftCommandLine", ["EftConfig", "EftFormats"]),
        tests(
            "EftBenchmarks",
            [
                "EftTensor", "EftConfig", "EftFormats", "EftTokenizers", "EftQuant", "EftNN",
                "EftModels", "EftGeneration", "EftServer",
            ]),
        .testTarget(
            name: "EftProgramTests",
            dependencies: [
                "eft", "EftTestSupport", "EftTensor", "EftConfig", "EftFormats", "EftQuant",
                "EftModels", "EftConversion", "EftTraining", "EftPlanning", "EftCommandLine",
                "EftKit",
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "EftEndToEndTests",
            dependencies: [
                "EftTestSupport", "EftTestHub", "EftTensor", "EftConfig", "EftFormats",
                "EftBenchmarks",
            ],
            swiftSettings: swiftSettings),
    ],
    cLanguageStandard: .c17
)

// Built for `make fuzz` alone, with libFuzzer's counters in every module (`scripts/fuzz`).
if Context.environment["EFT_FUZZ"] != nil {
    package.targets += [
        .systemLibrary(name: "CLibFuzzer", path: "Fuzz/CLibFuzzer"),
        .target(
            name: "EftFuzzDriver", dependencies: ["CLibFuzzer"], path: "Fuzz/Driver",
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "EftFuzzParsers",
            dependencies: [
                "EftFuzzDriver", "EftConfig", "EftJinja", "EftGGUF", "EftFormats", "EftTokenizers",
            ], path: "Fuzz/Parsers",
            swiftSettings: swiftSettings + [.unsafeFlags(["-parse-as-library"])]),
        .executableTarget(
            name: "EftFuzzHTTP", dependencies: ["EftFuzzDriver", "EftConfig", "EftServer"],
            path: "Fuzz/HTTP",
            swiftSettings: swiftSettings + [.unsafeFlags(["-parse-as-library"])]),
    ]
}
