package import Model
import Yams

/// Why a group that somebody asked for while we run cannot be.
package struct GroupRefusal: Error, Hashable, Sendable, CustomStringConvertible {
  package let reasons: [String]
  package var description: String { reasons.joined(separator: "; ") }
}

extension Configuration {
  /// A group made while we run, under the rules of the file: its backends are those the file declares, or `address:port`.
  package func group(
    named name: String, mode: String, backends: [String], primary: String?
  ) throws(GroupRefusal) -> GroupSpecification {
    // No environment: what comes over the network does not read our variables.
    let reader = Reader(file: "", environment: [:])
    var pairs: [(Node, Node)] = [("name", Node(name)), ("mode", Node(mode)), ("backends", Node(backends.map { Node($0) }))]
    if let primary { pairs.append(("primary", Node(primary))) }
    let declaration = Format<GroupDeclaration>.group.read(Value(node: Node(pairs), name: "the group", reader: reader))
    if let declaration, let name = declaration.name {
      let draft = GroupDraft(name: name.value, position: .start, declaration: declaration)
      if let frame = draft.build(from: topology.directory, reader: reader), !reader.hasErrors,
        let group = GroupDerivation(frame).specification
      {
        return group
      }
    }
    throw GroupRefusal(reasons: reader.diagnostics.map { "\($0.problem); \($0.remedy)" })
  }
}
