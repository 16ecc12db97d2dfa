#pragma once

#include <ares.h>
#include <stddef.h>
#include <string.h>

// Plain macros in 1.18, an enumeration later: as integers they are the same to Swift in every release.
static const int LEBA_ARES_SUCCESS = ARES_SUCCESS;
static const int LEBA_ARES_TIMED_OUT = ARES_ETIMEOUT;
static const int LEBA_ARES_CANCELLED = ARES_ECANCELLED;
static const int LEBA_ARES_DESTROYED = ARES_EDESTRUCTION;
static const int LEBA_ARES_BAD_RESPONSE = ARES_EBADRESP;
static const int LEBA_ARES_NO_MEMORY = ARES_ENOMEM;

/// Opens a channel that asks one server, once, and waits up to `timeout_ms` for the answer.
///
/// `server` is `192.0.2.1:53` or `[2001:db8::1]:53`. Nothing is taken from the environment's resolver configuration: a
/// `search .` in resolv.conf breaks c-ares 1.18, and without the file it would ask 127.0.0.1 and say nothing.
static inline int leba_ares_open(
    ares_channel *channel, const char *server, int timeout_ms, ares_sock_state_cb on_socket, void *context) {
  struct ares_options options;
  memset(&options, 0, sizeof options);
  int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_RESOLVCONF |
             ARES_OPT_NOROTATE | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB;
  // NOCHECKRESP: without it SERVFAIL and REFUSED are told as "connection refused". EDNS: without it 512 bytes, then TCP.
  options.flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS;
  options.timeout = timeout_ms;
  options.tries = 1;
  options.lookups = (char *)"b";
  options.resolvconf_path = (char *)"/dev/null";
  // The size of DNS flag day 2020: passes every path unfragmented.
  options.ednspsz = 1232;
  options.sock_state_cb = on_socket;
  options.sock_state_cb_data = context;
#ifdef ARES_OPT_QUERY_CACHE
  // On by default from 1.31; a cache would hide the changes that discovery asks for.
  mask |= ARES_OPT_QUERY_CACHE;
  options.qcache_max_ttl = 0;
#endif
  int status = ares_init_options(channel, &options, mask);
  if (status != ARES_SUCCESS) return status;
  status = ares_set_servers_ports_csv(*channel, server);
  if (status != ARES_SUCCESS) ares_destroy(*channel);
  return status;
}

static inline int leba_ares_initialize(void) { return ares_library_init(ARES_LIB_INIT_ALL); }

/// Asks for `name` in class IN. The callback runs exactly once, perhaps before this returns.
static inline void leba_ares_query(ares_channel channel, const char *name, int type, ares_callback callback, void *context) {
  ares_query(channel, name, 1, type, callback, context);
}
