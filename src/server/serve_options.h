// What a server is asked for: the model, where it listens, who may ask, limits. For tq serve and
// for programs that have the engine inside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/api.h"
#include "server/host.h"
#include "server/http_server.h"

namespace tq {

struct ServeOptions {
  HostOptions host;
  HttpOptions http{.port = 8000};
  ApiOptions api{.model_names = {}};
  std::vector<std::string> key_files;
  std::string tls_cert;
  std::string tls_key;
  bool no_page = false;
  double drain_seconds = 60;

  // Reads the files that are named and sets what follows from the rest. Throws kInvalidArgument
  // and what reading them throws.
  void prepare();
};

template <typename Visit>
void visit_address_options(ServeOptions& options, Visit&& visit) {
  visit(
      OptionText{"host", "Address or name to listen on; 0.0.0.0 is every network of this machine"},
      options.http.host, AnyValue{});
  visit(OptionText{"port", "Port to listen on; 0 is a free one"}, options.http.port, AnyValue{});
  visit(OptionText{"served-model-name",
                   "Name that clients ask for; may be repeated; without it the file's or folder's"},
        options.api.model_names, AnyValue{});
  visit_template_option(options.host, visit);
}

template <typename Visit>
void visit_security_options(ServeOptions& options, Visit&& visit) {
  GuardOptions& guard = options.api.guard;
  visit(OptionText{"api-key",
                   "Key that requests must bring; may be repeated. Others can read command lines: "
                   "rather a file"},
        guard.api_keys, AnyValue{});
  visit(OptionText{"api-key-file", "File with such keys, one a line; may be repeated"},
        options.key_files, AnyValue{});
  visit(OptionText{"cors-origins",
                   "Origin (https://chat.example) whose pages may use the server from a browser; * "
                   "is all; may be repeated"},
        guard.cors_origins, AnyValue{});
  visit(
      OptionText{"allowed-hosts",
                 "Name under which the server may be asked, besides localhost and addresses; * is "
                 "all; may be repeated"},
      guard.allowed_hosts, AnyValue{});
  visit(OptionText{"no-page", "Serve no chat page at /"}, options.no_page, AnyValue{});
  visit(OptionText{"tls-cert",
                   "Certificate (PEM, with its chain) to serve https with; needs --tls-key"},
        options.tls_cert, AnyValue{});
  visit(OptionText{"tls-key", "Its key (PEM, without a password)"}, options.tls_key, AnyValue{});
}

template <typename Visit>
void visit_limit_options(ServeOptions& options, Visit&& visit) {
  const Decimals seconds{0.1, 1e6};
  visit_sharing_options(options.host, visit);
  visit(OptionText{"max-queue", "Requests that may wait besides; others get status 429"},
        options.api.max_queue, Range{0, int64_t{1} << 20});
  visit(OptionText{"max-body", "Bytes of a request's body at most"}, options.http.body_bytes,
        ByteSize{});
  visit(OptionText{"header-timeout", "Seconds to send a request's headers"},
        options.http.header_seconds, seconds);
  visit(OptionText{"body-timeout", "Seconds to send its body"}, options.http.body_seconds, seconds);
  visit(OptionText{"write-timeout", "Seconds until a client that reads nothing is cut off"},
        options.http.write_seconds, seconds);
  visit(OptionText{"idle-timeout", "Seconds that a connection may wait for its next request"},
        options.http.idle_seconds, seconds);
  visit(OptionText{"ping-interval", "Seconds of silence in a stream until a comment keeps it open"},
        options.http.ping_seconds, seconds);
  visit(OptionText{"stall-timeout",
                   "Seconds that a step of the engine may take before /health says 503"},
        options.api.stall_seconds, seconds);
  visit(OptionText{"drain-timeout", "Seconds that answers get to be completed after SIGTERM"},
        options.drain_seconds, seconds);
}

template <typename Visit>
void visit_options(ServeOptions& options, Visit&& visit) {
  visit_options(options.host.model, visit);
  visit_address_options(options, visit);
  visit_security_options(options, visit);
  visit_limit_options(options, visit);
}

}  // namespace tq
