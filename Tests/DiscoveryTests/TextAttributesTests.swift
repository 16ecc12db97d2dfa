import Model
import Testing

@testable import Discovery

@Suite struct TextAttributesTests {
  private func parse(_ strings: String...) -> (TextAttributes, [IgnoredText]) {
    var ignored: [IgnoredText] = []
    let attributes = TextAttributes(parsing: strings, ignored: &ignored)
    return (attributes, ignored)
  }

  @Test func `every key of the contract is read`() {
    let (attributes, ignored) = parse(
      "is_primary=true", "group_name=orders", "weight=7", "zone=eu-1a", "mode=active-passive", "maintenance=false")
    #expect(
      attributes
        == TextAttributes(
          isPrimary: true, group: "orders", weight: 7, zone: "eu-1a", mode: .activePassive, maintenance: false))
    #expect(ignored == [])
  }

  @Test func `keys and words are read in any case, values of names as they are`() {
    #expect(parse("IS_PRIMARY=True", "Group_Name=Orders").0 == TextAttributes(isPrimary: true, group: "Orders"))
  }

  @Test(arguments: ["v=spf1 -all", "google-site-verification=x", "hello", "", "=", "=x", "group=orders", " weight=1"])
  func `what is not for us is ignored and counted`(string: String) {
    let (attributes, ignored) = parse(string, "weight=3")
    #expect(attributes == TextAttributes(weight: 3))
    #expect(ignored == [.unknownKey])
  }

  @Test(arguments: [
    "weight=-1", "weight=65536", "weight=", "weight= 1", "is_primary=yes", "maintenance=1", "mode=primary", "zone=", "zone=a b",
    "zone=\u{1B}[2J", "group_name=", "group_name=a/b", "group_name=..", "group_name=\u{0}",
  ])
  func `a value out of bounds is ignored and counted`(string: String) {
    let (attributes, ignored) = parse(string)
    #expect(attributes == TextAttributes())
    #expect(ignored == [.badValue])
  }

  @Test func `a contradiction is decided the same way whatever the order of the answer`() {
    let (first, ignored) = parse("weight=5", "weight=3", "weight=3")
    #expect(first == TextAttributes(weight: 3))
    #expect(ignored == [.contradiction])
    #expect(parse("weight=3", "weight=5", "weight=3") == (first, ignored))
  }

  @Test func `random strings never do harm`() {
    var random = SeededGenerator(seed: 7)
    let keys = ["is_primary", "group_name", "weight", "zone", "mode", "maintenance", ""]
    for _ in 0..<2000 {
      let strings = (0..<4).map { _ in
        let bytes = (0..<Int(random.next() % 12)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        return keys[Int(random.next() % 7)] + "=" + String(decoding: bytes, as: UTF8.self)
      }
      var ignored: [IgnoredText] = []
      let attributes = TextAttributes(parsing: strings, ignored: &ignored)
      #expect(attributes.weight.map { (0...65_535).contains($0) } ?? true)
      #expect(ignored.count <= strings.count)
    }
  }
}
