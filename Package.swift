// swift-tools-version: 6.2
import PackageDescription

/// Every target is compiled under the same rules; see docs/ARCHITECTURE.md for who may import whom.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
  // Tests look inside the very binary that ships: one release build serves the demo, the tests and production.
  .unsafeFlags(["-enable-testing"]),
]

/// `LEBA_TARGETS=pure swift test --scratch-path .build-pure` builds only what needs no package: the engine, the proxy,
/// the DNS code and the Postgres codec, in seconds instead of minutes. Nothing else differs.
let pureOnly = Context.environment["LEBA_TARGETS"] == "pure"

func library(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict + settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// How the released binary is linked: idle it has 28 MiB resident instead of 43, most of which was code and tables that it never uses.
///
/// The standard library and Foundation come along, so that only what is reached does; nothing is exported, or everything would count as
/// reached. What runs at start lies together, in the order that scripts/order-startup found: the kernel maps 64 KiB around each page
/// that is touched. Debug builds are linked as usual.
let lean: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-static-stdlib", "-use-ld=lld", "-Xlinker", "--no-export-dynamic",
      "-Xlinker", "--symbol-ordering-file=\(Context.packageDirectory)/scripts/startup-order.txt",
      // The list was made for the packages of its day. What others bring is placed behind it.
      "-Xlinker", "--no-warn-symbol-ordering",
      // What the static Foundation needs; objects that were compiled for the shared one do not ask for it.
      "-l_FoundationICU", "-lCoreFoundation", "-l_FoundationCShims", "-l_FoundationCollections",
    ], .when(platforms: [.linux], configuration: .release))
]

let nio: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOPosix", package: "swift-nio"),
  .product(name: "NIOHTTP1", package: "swift-nio"),
]
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let pureTargets: [Target] = [
  .systemLibrary(name: "CAres", pkgConfig: "libcares", providers: [.apt(["libc-ares-dev"])]),
  .target(name: "CLinux"),
  library("Model"),
  library("Threads"),
  library("Failover", ["Model"]),
  library("PostgresWire"),
  library("Discovery", ["Model", "Threads", "CAres", "CLinux"]),
  library("Proxy", ["Model", "Threads", "CLinux"]),
  .target(name: "TestSupport", path: "Tests/Support", swiftSettings: strict),
  tests("ModelTests", ["Model"]),
  tests("FailoverTests", ["Failover", "Model"]),
  tests("SimulationTests", ["Failover", "Model"]),
  tests("PostgresWireTests", ["PostgresWire", "Model"]),
  tests("DiscoveryTests", ["Discovery", "Model", "TestSupport", "CAres"]),
  tests("ProxyTests", ["Proxy", "Model", "Threads", "CLinux"]),
]

/// Counted by scripts/count-hot-path, which builds it in the pure package.
let hotPath: [Target] = [
  .target(name: "CallCounts", path: "Tests/CallCounts"),
  .executableTarget(
    name: "hot-path", dependencies: ["Proxy", "Model", "CallCounts"], path: "Tests/HotPath", swiftSettings: strict),
]

let packageTargets: [Target] = [
  // Named apart because swift-configuration, which hummingbird can use, declares a target `Configuration` too.
  .target(
    name: "LebaConfiguration", dependencies: ["Model", .product(name: "Yams", package: "Yams")], path: "Sources/Configuration",
    swiftSettings: strict),
  library(
    "Journal",
    ["Model", .product(name: "Crypto", package: "swift-crypto"), .product(name: "GRDB", package: "GRDB.swift")]),
  library(
    "Health",
    [
      "Model", "PostgresWire", "CLinux", logging, .product(name: "Crypto", package: "swift-crypto"),
      .product(name: "NIOSSL", package: "swift-nio-ssl"), .product(name: "NIOTLS", package: "swift-nio"),
    ] + nio),
  library(
    "ControlAPI",
    [
      "Failover", "LebaConfiguration", "Model", logging,
      .product(name: "Hummingbird", package: "hummingbird"),
      .product(name: "HummingbirdCore", package: "hummingbird"),
      .product(name: "HTTPTypes", package: "swift-http-types"),
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
    ]),
  library("Handover", ["Model", "Proxy", "CLinux"]),
  .executableTarget(
    name: "Sidecar",
    dependencies: [
      "LebaConfiguration", "ControlAPI", "Discovery", "Failover", "Handover", "Health", "Journal", "Model", "Proxy", "Threads",
      "CLinux",
      logging,
      .product(name: "ArgumentParser", package: "swift-argument-parser"),
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
    ] + nio,
    swiftSettings: strict, linkerSettings: lean),
  tests("ConfigurationTests", ["LebaConfiguration", "Model"]),
  tests("JournalTests", ["Journal", "Model", "TestSupport"]),
  tests(
    "HealthTests",
    ["CLinux", "Health", "PostgresWire", "Model", "TestSupport", logging, .product(name: "NIOSSL", package: "swift-nio-ssl")] + nio),
  tests("ControlAPITests", ["ControlAPI", "Failover", "Health", "LebaConfiguration", "Model", logging]),
  // They start the binary and link nothing of it: the test runner has a shared standard library, leba a static one.
  tests("EndToEndTests", ["TestSupport", "Handover", "Model", "Proxy"]),
]

let package = Package(
  name: "leba",
  products: pureOnly ? [] : [.executable(name: "leba", targets: ["Sidecar"])],
  dependencies: pureOnly
    ? []
    : [
      .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
      .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
      .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
      .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
      .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
      .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
      .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
      .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
      .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
      .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
  targets: pureTargets + (pureOnly ? hotPath : packageTargets)
)
