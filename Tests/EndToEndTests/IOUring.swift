import Model

@testable import Proxy

/// Whether io_uring may be used here, as the data plane finds out.
let ioUringIsPermitted = (try? EngineInUse(.ioUring)) != nil
