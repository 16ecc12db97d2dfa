import Model

/// Reads `250ms`, `5s`, `1m30s`, `2h`, `1d`: whole numbers, each with its unit, the larger units first.
func duration(from text: Text) throws(Complaint) -> Duration {
  let units: [(name: String, milliseconds: Int64)] = [
    ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
  ]
  let malformed = Complaint("\(text.shown) is not a duration", "write whole numbers with units, for example 250ms, 5s or 1m30s")
  if !text.value.isEmpty, text.value.allSatisfy(isDigit) {
    throw Complaint("\(text.shown) has no unit", "write one, for example 5s or 250ms")
  }
  if text.value.hasPrefix("-") {
    throw Complaint("\(text.shown) is negative", "write a duration from 0s upward, for example 5s")
  }
  var total: Int64 = 0
  var rest = Substring(text.value)
  var smaller = units[...]
  repeat {
    let digits = rest.prefix(while: isDigit)
    rest = rest[digits.endIndex...]
    let unit = rest.prefix { $0.isLetter }
    rest = rest[unit.endIndex...]
    // Twelve digits of the largest unit still fit.
    guard (1...12).contains(digits.count), let number = Int64(digits), let index = smaller.firstIndex(where: { $0.name == unit })
    else { throw malformed }
    smaller = smaller[(index + 1)...]
    let (product, tooLarge) = number.multipliedReportingOverflow(by: units[index].milliseconds)
    let (sum, overflow) = total.addingReportingOverflow(product)
    guard !tooLarge, !overflow else { throw malformed }
    total = sum
  } while !rest.isEmpty
  return .milliseconds(total)
}

func isDigit(_ character: Character) -> Bool { character.isASCII && character.isWholeNumber }
