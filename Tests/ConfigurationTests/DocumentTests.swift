import Model
import Testing
import Yams

@testable import LebaConfiguration

/// Files that are no YAML, or too much of it.
@Suite struct DocumentTests {
  private let remedy = "check the indentation, the colons and the quotes here"

  @Test func syntax() {
    #expect(
      diagnostics("zone: a\nengine: [auto\nworkers: 1\n") == [
        "3:8: error: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence that begins at 2:9; \(remedy)"
      ])
    #expect(
      diagnostics("zone: \"a") == [
        "1:9: error: not valid YAML: found unexpected end of stream while scanning a quoted scalar that begins at 1:7; \(remedy)"
      ])
    #expect(
      diagnostics("backends:\n\t- a") == [
        "2:1: error: not valid YAML: found character that cannot start any token while scanning for the next token "
          + "that begins at 2:1; \(remedy)"
      ])
  }

  @Test(
    arguments: [
      Case("empty", "", "1:1: error: the file is empty; begin with examples/minimal.yaml"),
      Case("only comments", "# nothing\n", "1:1: error: the file is empty; begin with examples/minimal.yaml"),
      Case("null", "---\n", "2:1: error: the file is nothing; it must be a mapping of keys to values"),
      Case(
        "two documents", "zone: a\n---\nzone: b\n",
        "2:1: error: a second document begins here; keep one; a file is one configuration"),
      Case(
        "key twice", "zone: a\nengine: auto\nzone: b\n",
        "1:1: error: 'zone' is given more than once in this mapping; keep one of them"),
      Case(
        "key twice inside, written differently", "api:\n  address: \"127.0.0.1:1\"\n  \"address\": \"127.0.0.1:2\"\n",
        "2:3: error: 'address' is given more than once in this mapping; keep one of them"),
      Case(
        "undefined alias", "zone: *a\n", "1:7: error: not valid YAML: found undefined alias; define the anchor before it is used"),
      Case(
        "control character", "zone: a\nengine: \u{7}auto\n",
        "2:9: error: the control character U+7 is not allowed in YAML; remove it, or write it as an escape in double quotes"),
      Case(
        "merging a text", "zone: &z a\nfailover_groups:\n  - {<<: *z}\n",
        "1:7: error: '<<' merges something that is not a mapping; name the anchor of a mapping",
        "3:5: error: 'backends' is missing; add it, for example backends: [backend1, backend2]"),
    ])
  func refused(_ example: Case) {
    let found = diagnostics(example.yaml)
    #expect(found.prefix(1) == example.expected.prefix(1))
    if example.expected.count == 1 { #expect(found == example.expected) }
  }

  @Test func deepNestingIsAnErrorAtItsPlace() {
    for depth in [40, 900, 5000, 200_000] {
      let found = diagnostics("zone: " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth))
      #expect(found.count == 1)
      #expect(found[0].hasSuffix(": error: nested more than 32 levels deep; check the indentation and brackets"))
    }
    let blocks = "zone:\n" + (1...2000).map { String(repeating: " ", count: $0) + "- \n" }.joined()
    #expect(diagnostics(blocks).count == 1)
  }

  /// Nine lines that would be 9^7 values.
  @Test func aliasBombsAreRefusedBeforeTheyAreHashed() {
    var bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in 1...7 {
      bomb += "a\(level): &a\(level) [\(Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", "))]\n"
    }
    let expected = [
      "1:1: error: 8 anchors (&name) and 63 aliases (*name) could expand without end; write the values out"
    ]
    #expect(diagnostics(bomb) == expected)
    // As a key, where Yams would follow it while it looks for duplicates.
    #expect(diagnostics(bomb + "? *a7\n: 1\n").count == 1)
  }

  /// What the count of anchors and aliases lets through stays small, deep chains included.
  @Test func aliasesBelowTheBoundAreCheap() {
    let depth = 900
    var chain = "a0: &a0 " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "\n"
    for level in 1...7 {
      chain +=
        "a\(level): &a\(level) " + String(repeating: "[", count: depth) + "*a\(level - 1)" + String(repeating: "]", count: depth)
        + "\n"
    }
    #expect(diagnostics(chain).count == 1)
    #expect(diagnostics(chain + "? *a7\n: 1\n").count == 1)
    #expect(
      diagnostics(chain + "a8: &a8 b\n") == ["1:1: error: 9 anchors (&name); at most 8 can be used; write some values out"])
    // The bound is on what could be, not on how often a value is shared.
    let shared = "zone: &z a\nstate_directory: *z\n"
    #expect(diagnostics(shared).allSatisfy { $0.contains("warning") })
  }

  @Test func manyValuesAreAnError() {
    let items = Array(repeating: "a", count: Document.maximumNodes).joined(separator: ",")
    #expect(
      diagnostics("zone: [\(items)]").map { $0.drop { $0 != ":" }.drop { $0 != " " } } == [
        " error: the file holds more than 500000 values; make it smaller"
      ])
  }

  @Test func manyErrorsAreCounted() {
    let found = diagnostics((1...300).map { "k\($0): 1\n" }.joined())
    #expect(found.count == 201)
    #expect(found.last == "200:1: error: 100 more problems were found; mend these first")
  }
}
