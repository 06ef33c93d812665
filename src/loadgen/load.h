// Puts load on a server and records what comes of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "loadgen/completion.h"
#include "loadgen/dataset.h"
#include "loadgen/http_client.h"
#include "loadgen/model_server.h"

namespace tq {

// How conversations are sent: all at once but for the limit (a closed loop), or at their times (an
// open loop).
struct LoadPlan {
  int64_t concurrency = 0;       // answers under way at most; 0: no limit
  std::vector<double> arrivals;  // seconds from the beginning, ascending; empty: a closed loop
  bool probe_health = false;     // GET /health every 20 ms meanwhile, on a connection of its own
};

// How the number of tokens is known.
enum class TokenSource { kUsage, kTokenize, kChunks };
const char* token_source_name(TokenSource source);

// One request. Times are in seconds. A token's time is that at which the bytes with it were read.
struct RequestRecord {
  double sent = 0;          // from the level's beginning
  double ttft = 0;          // from sent to the first token
  double latency = 0;       // from sent to the last piece of the answer
  std::vector<float> gaps;  // between the pieces with tokens
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t output_tokens = 0;
  TokenSource tokens_by = TokenSource::kUsage;
  std::string fault;  // its kind: "status 429", "timeout", ...; empty: answered
  double ended = 0;   // from the level's beginning
};

struct LoadRecords {
  std::vector<RequestRecord> requests;  // in the order in which they ended
  double seconds = 0;                   // from the first that was sent to the last that ended
  int64_t peak_concurrency = 0;
  std::map<std::string, int64_t> faults;  // how many of each kind
  std::vector<std::string> first_faults;  // messages, a few of each kind
  std::vector<double> health_ms;          // with probe_health
  int64_t health_failed = 0;
};

// Called now and then: how many requests of how many have ended.
using LoadProgress = std::function<void(int64_t done, int64_t total)>;

// Sends all turns of all conversations, each turn with the answers to those before it; the turns
// after one that failed are not sent. Runs the client until all have ended. Throws what
// HttpClient::run throws.
LoadRecords put_load(HttpClient& client, ModelServer& server, const AskOptions& ask,
                     const LoadPlan& plan, const std::vector<LoadConversation>& conversations,
                     const LoadProgress& progress);

}  // namespace tq
