import CAres
import Glibc
import TestSupport
import Testing

/// c-ares from 1.31 on remembers answers unless told not to; discovery has to see each change of a name.
@Suite struct QueryCacheTests {
  /// What a channel tells through its context pointer.
  private struct Heard {
    var descriptor: Int32 = -1
    var answers = 0
  }

  @Test func `a question that is asked twice is heard twice`() throws {
    let server = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 3600))
    #expect(leba_ares_initialize() == LEBA_ARES_SUCCESS)
    let heard = UnsafeMutablePointer<Heard>.allocate(capacity: 1)
    heard.initialize(to: Heard())
    defer { heard.deallocate() }
    var opened: ares_channel?
    let status = leba_ares_open(
      &opened, server.endpoint.description, 30_000,
      { context, descriptor, reads, _ in
        context?.assumingMemoryBound(to: Heard.self).pointee.descriptor = reads == 0 ? -1 : Int32(descriptor)
      }, heard)
    #expect(status == LEBA_ARES_SUCCESS)
    let channel = try #require(opened)
    defer { ares_destroy(channel) }

    for count in 1...2 {
      leba_ares_query(
        channel, "web.example.test", 1,
        { context, status, _, _, length in
          if status == LEBA_ARES_SUCCESS, length > 0 { context?.assumingMemoryBound(to: Heard.self).pointee.answers += 1 }
        }, heard)
      while heard.pointee.answers < count {
        var entry = pollfd(fd: heard.pointee.descriptor, events: Int16(POLLIN), revents: 0)
        try #require(poll(&entry, 1, 30_000) == 1, "an answer comes")
        ares_process_fd(channel, heard.pointee.descriptor, -1)
      }
      #expect(server.queryCount(type: .a) == count)
    }
  }
}
