/// How much a notice to the operator matters.
package enum NoticeSeverity: Hashable, Sendable {
  case info, warning, error
}
