import ControlAPI
import Testing

@Suite struct MetricFamilyTests {
  @Test func textFormat() {
    let family = MetricFamily(
      "leba_x_total", .counter, help: "What it counts.",
      samples: [.init([("group", "a\"b\\c\nd")], 3), .init([], 0.25), .init([("le", "+Inf")], .infinity, suffix: "_bucket")])
    var text = ""
    family.write(to: &text)
    #expect(
      text == """
        # HELP leba_x_total What it counts.
        # TYPE leba_x_total counter
        leba_x_total{group="a\\"b\\\\c\\nd"} 3
        leba_x_total 0.25
        leba_x_total_bucket{le="+Inf"} +Inf

        """)
  }
}
