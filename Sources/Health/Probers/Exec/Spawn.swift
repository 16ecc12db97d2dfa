import CLinux
import Glibc
import Model

/// Starts a program as the leader of a process group, with nothing of ours: no descriptors but the two it prints to, no
/// environment but a path and a language, no signal blocked or ignored.
///
/// `posix_spawn` and not `fork`: between fork and exec a process with threads can hardly do anything.
func spawn(_ command: [String], output: CInt, error: CInt) throws(ProbeFailure) -> pid_t {
  guard let program = command.first, !program.isEmpty else { throw ProbeFailure(.badResponse, "no program to run") }

  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_adddup2(&actions, output, 1)
  posix_spawn_file_actions_adddup2(&actions, error, 2)
  posix_spawn_file_actions_addclosefrom_np(&actions, 3)

  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var signals = sigset_t()
  sigemptyset(&signals)
  posix_spawnattr_setsigmask(&attributes, &signals)
  sigfillset(&signals)
  posix_spawnattr_setsigdefault(&attributes, &signals)
  posix_spawnattr_setpgroup(&attributes, 0)
  posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

  var arguments = command.map { strdup($0) } + [nil]
  let variables = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
  var environment = variables.map { strdup($0) } + [nil]
  defer { for text in arguments + environment { free(text) } }

  var leader: pid_t = 0
  let code = posix_spawnp(&leader, program, &actions, &attributes, &arguments, &environment)
  guard code == 0 else {
    let isOurs = [EAGAIN, ENOMEM, EMFILE, ENFILE].contains(code)
    throw ProbeFailure(
      isOurs ? .local : .badResponse, "cannot run \(printable(program)): \(String(cString: strerror(code)).lowercased())")
  }
  return leader
}
