/// libFuzzer's target: bytes as a name server may send them. `scripts/fuzz` compiles it together with the parser, as one module.
///
/// Any outcome is right; the fuzzer looks for traps, reads out of bounds, and inputs that take long.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzDNSMessage(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  guard let message = try? DNSMessage(parsing: bytes) else { return 0 }
  for record in message.answers + message.authority + message.additional {
    _ = record.owner.description
    _ = record.owner.isHostName
  }
  for question in message.questions.prefix(2) {
    guard let type = RecordType(rawValue: question.type) else { continue }
    // An answer is read only for the question it carries, so that question is asked.
    do throws(AnswerError) {
      _ = try DNSAnswer(message, name: question.name, type: type)
    } catch {
      _ = error.detail
    }
  }
  return 0
}
