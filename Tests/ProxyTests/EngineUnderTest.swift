import Glibc
import Model
import Testing

@testable import Proxy

/// The engine that all tests of this run use: LEBA_ENGINE says which, without it the proxy chooses. A name that is none is an error
/// here, not a silent run on another engine.
let engineUnderTest: EngineChoice = {
  guard let text = getenv("LEBA_ENGINE").map({ String(cString: $0) }) else { return .auto }
  guard let choice = EngineChoice(rawValue: text) else { preconditionFailure("LEBA_ENGINE=\(text) is not an engine") }
  return choice
}()

@Suite struct EngineUnderTest {
  /// `scripts/test` reads the line that this prints: which engine `auto` takes, and whether the other one can be had.
  @Test func `the engine of this run is the one that was asked for`() throws {
    var settings = Proxy.Settings()
    settings.engine = engineUnderTest
    do {
      let proxy = try Proxy(settings: settings) { _ in }
      defer { proxy.stop() }
      print("engine under test: \(proxy.engine.name)")
      #expect(engineUnderTest == .auto || proxy.engine.name == engineUnderTest.rawValue)
    } catch {
      print("engine not to be had: \(error)")
      throw error
    }
  }
}
