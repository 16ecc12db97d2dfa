import Model

/// A backend that breaks a session may be dying: for a moment nothing is said to it on new connections (see `Mistrust`).
extension Worker where E: ~Copyable {
  /// The session's backend ended or broke it, before the client did.
  mutating func backendLeft(_ index: SessionIndex) {
    let session = sessions[index]
    let isCalledFor = Mistrust.isCalledFor(
      owesAnswer: session.pointee.awaitsAnswer, silentFor: now - session.pointee.lastActivity, afterBusyPass: lastPassWasBusy)
    guard isCalledFor, mistrust(session.pointee.backend) else { return }
    settings.neighbours.tell(.mistrust(member(session.pointee.backend)), from: mailbox)
  }

  /// Another worker saw it.
  mutating func mistrust(_ member: MemberKey) {
    guard let number = groupNumbers[member.group],
      let backend = groups[number].pointee.members.first(where: { backends[$0].pointee.name == member.backend })
    else { return }
    _ = mistrust(backend)
  }

  private mutating func mistrust(_ backend: Int32) -> Bool {
    groups[backends[backend].pointee.group].pointee.mistrust.begin(backend, lasting: settings.mistrust, now: now)
  }

  /// Whether a session that has just connected has to wait before it says anything.
  mutating func mustWaitForTrust(_ index: SessionIndex) -> Bool {
    let session = sessions[index]
    let mistrust = groups[listener(of: index).pointee.group].pointee.mistrust
    guard mistrust.isOn(now), mistrust.concerns(session.pointee.backend) else { return false }
    session.pointee.waitsForTrust = true
    deadlines.set(index, at: mistrust.end)
    return true
  }

  /// Nothing more was heard against its backend.
  mutating func trustAgain(_ index: SessionIndex) {
    let session = sessions[index]
    session.pointee.waitsForTrust = false
    session.pointee.askedAt = now
    deadlines.set(index, at: connectEnd(index))
    beginSession(index)
  }
}
