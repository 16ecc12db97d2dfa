/// What name servers are asked: the records of one type at one name. Whoever wants the same shares the lookup.
struct LookupKey: Hashable, Comparable, Sendable {
  let name: WireName
  let type: RecordType

  static func < (a: LookupKey, b: LookupKey) -> Bool { (a.type.rawValue, a.name) < (b.type.rawValue, b.name) }
}
