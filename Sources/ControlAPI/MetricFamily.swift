import Model

/// One Prometheus metric with all its samples, in text exposition format 0.0.4.
package struct MetricFamily: Sendable {
  package enum Kind: String, Sendable {
    case counter, gauge, summary, histogram
  }

  package struct Sample: Sendable {
    /// `_sum`, `_count` or `_bucket` of a summary or histogram.
    package let suffix: String
    package let labels: [(String, String)]
    package let value: Double

    package init(_ labels: [(String, String)], _ value: Double, suffix: String = "") {
      self.labels = labels
      self.value = value
      self.suffix = suffix
    }
  }

  package let name: String
  package let help: String
  package let kind: Kind
  package var samples: [Sample]

  package init(_ name: String, _ kind: Kind, help: String, samples: [Sample] = []) {
    self.name = name
    self.kind = kind
    self.help = help
    self.samples = samples
  }

  /// One histogram: `counts[i]` observations were at most `bounds[i]` and more than the bound before, the last of them above all bounds.
  package mutating func addHistogram(_ labels: [(String, String)], bounds: [Duration], counts: [Int], sum: Duration) {
    var cumulative = 0
    for (bound, count) in zip(bounds.map { String($0.seconds) } + ["+Inf"], counts) {
      cumulative += count
      samples.append(Sample(labels + [("le", bound)], Double(cumulative), suffix: "_bucket"))
    }
    samples.append(Sample(labels, sum.seconds, suffix: "_sum"))
    samples.append(Sample(labels, Double(cumulative), suffix: "_count"))
  }

  package func write(to text: inout String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    for sample in samples {
      text += name + sample.suffix
      if !sample.labels.isEmpty {
        text += "{" + sample.labels.map { "\($0)=\"\(Self.escape($1))\"" }.joined(separator: ",") + "}"
      }
      text += " \(Self.format(sample.value))\n"
    }
  }

  private static func escape(_ value: String) -> String {
    var escaped = ""
    for character in value {
      switch character {
      case "\\": escaped += "\\\\"
      case "\"": escaped += "\\\""
      case "\n": escaped += "\\n"
      default: escaped.append(character)
      }
    }
    return escaped
  }

  private static func format(_ value: Double) -> String {
    if value == .infinity { return "+Inf" }
    if value == -.infinity { return "-Inf" }
    return value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
  }
}
