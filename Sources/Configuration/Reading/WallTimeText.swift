import Glibc
package import Model

extension WallTime {
  package static var current: WallTime {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return WallTime(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
  }

  /// `20261201T020000Z`: as ids and messages have it, in UTC.
  var compactText: String {
    let seconds = Int(clamping: milliseconds / 1000)
    let (days, rest) = (seconds / 86_400, seconds % 86_400)
    // Howard Hinnant's civil_from_days, for days since 1970.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(year)\(two(month))\(two(day))T\(two(rest / 3600))\(two(rest / 60 % 60))\(two(rest % 60))Z"
  }
}

extension Format<WallTime> {
  /// RFC 3339, from 1970 to 9999: `2026-12-01T02:00:00Z`, `2026-12-01T02:00:00+01:00`.
  static var wallTime: Self {
    Format(expected: "a time, for example \"2026-12-01T02:00:00Z\"") { text throws(Complaint) in
      let malformed = Complaint("\(text.shown) is not a time", "write for example \"2026-12-01T02:00:00Z\"")
      var scanner = DigitScanner(text.value)
      guard let year = scanner.number(4), scanner.skip("-"), let month = scanner.number(2), scanner.skip("-"),
        let day = scanner.number(2), scanner.skip("T") || scanner.skip("t"), let hour = scanner.number(2), scanner.skip(":"),
        let minute = scanner.number(2), scanner.skip(":"), let second = scanner.number(2)
      else { throw malformed }
      if scanner.skip("."), !scanner.skipDigits() { throw malformed }
      guard (1970...9999).contains(year), (1...12).contains(month), (1...daysOf(month, in: year)).contains(day), hour < 24,
        minute < 60, second < 60
      else { throw Complaint("\(text.shown) is no time of the calendar", "correct it") }
      guard !scanner.isAtEnd else {
        throw Complaint("\(text.shown) does not say of which time zone it is", "append Z for UTC, or an offset such as +01:00")
      }
      guard let offset = scanner.offset(), scanner.isAtEnd else { throw malformed }
      let seconds = daysSince1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
      return WallTime(milliseconds: Int64(seconds) * 1000)
    }
  }

  private static func daysOf(_ month: Int, in year: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Howard Hinnant's days_from_civil.
  private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = shiftedYear / 400
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}

/// Numbers of a fixed width and the signs between them.
private struct DigitScanner {
  private var rest: Substring.UTF8View

  init(_ text: String) { rest = Substring(text).utf8 }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func number(_ width: Int) -> Int? {
    let digits = rest.prefix(width)
    guard digits.count == width, digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
    rest = rest.dropFirst(width)
    return digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
  }

  mutating func skip(_ sign: Unicode.Scalar) -> Bool {
    guard rest.first == UInt8(ascii: sign) else { return false }
    rest = rest.dropFirst()
    return true
  }

  /// Whether there was one.
  mutating func skipDigits() -> Bool {
    let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    rest = rest.dropFirst(digits.count)
    return !digits.isEmpty
  }

  /// Seconds east of UTC: `Z`, `+01:00`.
  mutating func offset() -> Int? {
    if skip("Z") || skip("z") { return 0 }
    let isWest = rest.first == UInt8(ascii: "-")
    guard skip("+") || skip("-"), let hours = number(2), skip(":"), let minutes = number(2), hours < 24, minutes < 60 else {
      return nil
    }
    return (isWest ? -1 : 1) * (hours * 3600 + minutes * 60)
  }
}
