package import Model
import Yams

/// Why a group, or a member of one, that somebody asked for while we run cannot be.
package struct GroupRefusal: Error, Hashable, Sendable, CustomStringConvertible {
  package let reasons: [String]
  package var description: String { reasons.joined(separator: "; ") }
}

extension Topology {
  /// A group made while we run, under the rules of the file: its backends are those there are, or `address:port`.
  package func group(
    named name: String, mode: String, backends: [String], primary: String?
  ) throws(GroupRefusal) -> GroupSpecification {
    let reader = Reader.ofRequest
    let group = read(name: name, mode: mode, backends: backends, primary: primary, isRemembered: false, reader: reader)
    guard let group, !reader.hasErrors else { throw GroupRefusal(reasons: reader.reasons) }
    return group
  }

  /// A group that was made in an earlier run, with those of its backends that there are now. Its primary, or everybody, may have been
  /// taken from it since; it is there all the same, as it was while that run went on. `problems` says who is left out, and why.
  package func group(
    rememberedAs name: String, mode: String, backends: [String], primary: String?
  ) throws(GroupRefusal) -> (group: GroupSpecification, problems: [String]) {
    let reader = Reader.ofRequest
    let group = read(name: name, mode: mode, backends: backends, primary: primary, isRemembered: true, reader: reader)
    guard let group else { throw GroupRefusal(reasons: reader.reasons) }
    return (group, reader.reasons)
  }

  private func read(
    name: String, mode: String, backends: [String], primary: String?, isRemembered: Bool, reader: Reader
  ) -> GroupSpecification? {
    var pairs: [(Node, Node)] = [("name", Node(name)), ("mode", Node(mode)), ("backends", Node(backends.map { Node($0) }))]
    if let primary { pairs.append(("primary", Node(primary))) }
    let declaration = Format<GroupDeclaration>.group.read(Value(node: Node(pairs), name: "the group", reader: reader))
    guard let declaration, let name = declaration.name else { return nil }
    let draft = GroupDraft(
      name: name.value, position: .start, declaration: declaration, isDeclared: true, isRemembered: isRemembered)
    let directory = Directory(of: self, naming: backends + [primary].compactMap(\.self))
    return draft.build(from: directory, settings: SharedSettings.Pool(), reader: reader).map { GroupDerivation($0).described }
  }

  /// A member for a group that runs, described by `specification`: an id of `backends`, a domain, or `address:port`.
  ///
  /// It is asked what other members of its protocol are asked, or else what the group's settings say.
  package func member(
    _ backend: String, isPrimary: Bool, of group: GroupName, like specification: GroupSpecification
  ) throws(GroupRefusal) -> MemberSource {
    let reader = Reader.ofRequest
    guard let text = Format<String>.string.read(Value(node: Node(backend), name: "the backend", reader: reader)) else {
      throw GroupRefusal(reasons: reader.reasons)
    }
    let candidate: Candidate
    do throws(Complaint) {
      let directory = Directory(of: self, naming: [text])
      guard case .found(let found) = try directory.entry(for: Located(text, at: .start), in: group, reader: reader) else {
        throw Complaint("\(quoted(text)) cannot be read", "correct its declaration")
      }
      candidate = found
    } catch {
      throw GroupRefusal(reasons: ["\(error.problem); \(error.remedy)"])
    }
    var reasons: [String] = []
    if specification.members.contains(where: { $0.endpoint == candidate.endpoint }) {
      reasons.append("\(quoted(candidate.label)) is already in the group \(quoted(group.rawValue))")
    }
    if isPrimary, let primary = specification.members.first(where: \.isPrimary) {
      reasons.append(
        "the group \(quoted(group.rawValue)) has a primary already, \(quoted(primary.label)); add this one without is_primary, then choose it"
      )
    }
    guard reasons.isEmpty else { throw GroupRefusal(reasons: reasons) }
    let check =
      specification.members.first { $0.proto == candidate.proto }?.check
      ?? (declared.frames[group]?.settings ?? .usual).check(for: candidate.proto)
    return MemberSource(
      origin: candidate.origin, record: candidate.record, proto: candidate.proto, weight: candidate.weight, zone: candidate.zone,
      isPrimary: isPrimary, check: check)
  }
}

extension Reader {
  /// No environment: what comes over the network does not read our variables.
  fileprivate static var ofRequest: Reader { Reader(file: "", environment: [:]) }
}

extension MemberSource {
  fileprivate var endpoint: Origin {
    switch origin {
    case .domain(let domain, _) where record == .srv: .domain(domain, port: nil)
    // One address is one member, whatever it is called.
    case .fixed, .domain: origin
    }
  }

  fileprivate var label: String {
    switch origin {
    case .fixed(let id, _): id.rawValue
    case .domain(let domain, _): domain.rawValue
    }
  }
}
