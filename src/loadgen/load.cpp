#include "loadgen/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/error.h"
#include "loadgen/sse.h"

namespace tq {
namespace {

constexpr double kHealthInterval = 0.02;
constexpr size_t kMostErrorBody = size_t{64} << 10;
constexpr size_t kMostAnswer = size_t{4} << 20;  // of text that is kept
constexpr size_t kShownOfAKind = 3;

const char* fault_name(CallFault fault) {
  switch (fault) {
    case CallFault::kConnect:
      return "connect";
    case CallFault::kTimeout:
      return "timeout";
    case CallFault::kClosed:
      return "closed";
    case CallFault::kTooLarge:
      return "too large";
    case CallFault::kCancelled:
      return "cancelled";
    default:
      return "protocol";
  }
}

// What is told when an answer has ended: its text is wanted for the next turn.
struct Answer {
  RequestRecord record;
  std::string text;
  std::string message;  // of a fault
};

// Reads one streamed answer.
class AnswerSink : public CallSink {
 public:
  AnswerSink(Endpoint endpoint, double begin, std::function<void(Answer)> told)
      : endpoint_(endpoint), begin_(begin), told_(std::move(told)) {
    answer_.record.sent = HttpClient::now() - begin;
  }

  void on_head(int status, std::string_view content_type) override {
    status_ = status;
    is_stream_ = content_type.starts_with("text/event-stream");
  }

  bool on_body(std::string_view bytes) override {
    if (status_ != 200 || !is_stream_) {
      if (body_.size() < kMostErrorBody) body_ += bytes.substr(0, kMostErrorBody - body_.size());
      return true;
    }
    const double now = HttpClient::now() - begin_ - answer_.record.sent;
    try {
      for (const std::string& data : parser_.push(bytes)) {
        take(read_stream_event(endpoint_, data), now);
      }
    } catch (const Error& error) {
      set_fault("bad event", error.what());
    }
    return answer_.record.fault.empty();
  }

  void on_end(const CallEnd& end) override {
    RequestRecord& record = answer_.record;
    record.ended = HttpClient::now() - begin_;
    if (record.fault.empty()) find_fault(end);
    if (!has_usage_) {
      record.output_tokens = n_pieces_;
      record.tokens_by = TokenSource::kChunks;
    }
    if (record.ttft == 0) record.ttft = record.latency;  // nothing but an end
    told_(std::move(answer_));
  }

 private:
  void set_fault(std::string kind, std::string message) {
    answer_.record.fault = std::move(kind);
    answer_.message = std::move(message);
  }

  void find_fault(const CallEnd& end) {
    if (end.fault != CallFault::kNone) {
      // What was complete before the connection broke is an answer.
      if (end.fault == CallFault::kClosed && done_) return;
      return set_fault(fault_name(end.fault), end.message);
    }
    if (status_ != 200) return set_fault(fmt::format("status {}", status_), error_text(body_));
    if (!is_stream_) return set_fault("no stream", "the answer is no event stream");
    if (!done_ && !finished_) return set_fault("closed", "the stream ended before the answer did");
    if (!has_choice_) return set_fault("no answer", "the stream ended without an answer");
  }

  void take(const StreamPiece& piece, double now) {
    RequestRecord& record = answer_.record;
    if (!piece.error.empty()) return set_fault("error event", piece.error);
    done_ = done_ || piece.done;
    finished_ = finished_ || piece.finished;
    has_choice_ = has_choice_ || piece.is_choice;
    if (piece.is_choice) record.latency = now;
    if (piece.has_token) {
      if (n_pieces_++ == 0) {
        record.ttft = now;
      } else {
        record.gaps.push_back(static_cast<float>(now - last_token_));
      }
      last_token_ = now;
    }
    if (answer_.text.size() < kMostAnswer) answer_.text += piece.text;
    if (piece.usage) {
      has_usage_ = true;
      record.prompt_tokens = piece.usage->prompt_tokens;
      record.cached_tokens = piece.usage->cached_tokens;
      record.output_tokens = piece.usage->completion_tokens;
    }
  }

  Endpoint endpoint_;
  double begin_;  // of the level
  std::function<void(Answer)> told_;
  Answer answer_;
  SseParser parser_;
  int status_ = 0;
  bool is_stream_ = false;
  bool done_ = false;
  bool finished_ = false;
  bool has_choice_ = false;
  bool has_usage_ = false;
  double last_token_ = 0;
  int64_t n_pieces_ = 0;
  std::string body_;  // of an answer that is no stream
};

// GET /health, again and again.
class HealthProbe : public std::enable_shared_from_this<HealthProbe> {
 public:
  HealthProbe(HttpClient& client, LoadRecords& records) : client_(client), records_(records) {}
  void ask() {
    struct Sink : CallSink {
      std::shared_ptr<HealthProbe> probe;
      double begun = HttpClient::now();
      int status = 0;
      void on_head(int code, std::string_view /*content_type*/) override { status = code; }
      bool on_body(std::string_view /*bytes*/) override { return true; }
      void on_end(const CallEnd& end) override { probe->told(begun, status, end); }
    };
    auto sink = std::make_shared<Sink>();
    sink->probe = shared_from_this();
    client_.send({.method = "GET", .path = "/health", .body = ""}, std::move(sink));
  }
  void end() { over_ = true; }

 private:
  void told(double begun, int status, const CallEnd& end) {
    if (end.fault == CallFault::kNone && status == 200) {
      records_.health_ms.push_back((HttpClient::now() - begun) * 1e3);
    } else if (end.fault != CallFault::kCancelled) {
      ++records_.health_failed;
    }
    if (over_) return;
    client_.after(kHealthInterval, [self = shared_from_this()] {
      if (!self->over_) self->ask();
    });
  }

  HttpClient& client_;
  LoadRecords& records_;
  bool over_ = false;
};

// One conversation under way.
struct Dialogue {
  const LoadConversation* conversation = nullptr;
  std::vector<ChatMessage> history;
  size_t turn = 0;
};

// A request whose tokens the server has not counted.
struct Uncounted {
  size_t request;
  LoadPrompt prompt;
  std::vector<ChatMessage> history;
  std::string answer;
};

class Load {
 public:
  Load(HttpClient& client, ModelServer& server, const AskOptions& ask, const LoadPlan& plan,
       const std::vector<LoadConversation>& conversations, const LoadProgress& progress)
      : client_(client),
        server_(server),
        ask_(ask),
        plan_(plan),
        conversations_(conversations),
        progress_(progress),
        begin_(HttpClient::now()) {
    for (const LoadConversation& conversation : conversations) {
      total_ += static_cast<int64_t>(conversation.turns.size());
    }
  }

  LoadRecords run() {
    if (plan_.probe_health) {
      probe_ = std::make_shared<HealthProbe>(client_, records_);
      probe_->ask();
    }
    arrive();
    client_.run([this] { progress_(done_, total_); });
    progress_(total_, total_);
    for (const RequestRecord& record : records_.requests) {
      records_.seconds = std::max(records_.seconds, record.ended);
    }
    count_tokens();
    return std::move(records_);
  }

 private:
  // Takes what has arrived by now, and comes back for the next.
  void arrive() {
    const double now = HttpClient::now() - begin_;
    const auto is_due = [&] {
      return n_arrived_ < conversations_.size() &&
             (plan_.arrivals.empty() || plan_.arrivals[n_arrived_] <= now);
    };
    while (is_due()) ++n_arrived_;
    start_waiting();
    if (n_arrived_ == conversations_.size()) return;
    client_.after(plan_.arrivals[n_arrived_] - now, [this] { arrive(); });
  }

  void start_waiting() {
    while (n_started_ < n_arrived_ && (plan_.concurrency == 0 || n_open_ < plan_.concurrency)) {
      const auto dialogue = std::make_shared<Dialogue>();
      dialogue->conversation = &conversations_[n_started_++];
      if (!dialogue->conversation->system.empty()) {
        dialogue->history.push_back({"system", dialogue->conversation->system});
      }
      ++n_open_;
      records_.peak_concurrency = std::max(records_.peak_concurrency, n_open_);
      say(dialogue);
    }
  }

  void say(const std::shared_ptr<Dialogue>& dialogue) {
    const LoadPrompt& prompt = dialogue->conversation->turns[dialogue->turn];
    ClientRequest request{.method = "POST",
                          .path = endpoint_path(ask_.endpoint),
                          .body = request_body(ask_, dialogue->history, prompt),
                          .headers = server_.headers()};
    client_.send(std::move(request), std::make_shared<AnswerSink>(
                                         ask_.endpoint, begin_, [this, dialogue](Answer answer) {
                                           on_answer(dialogue, std::move(answer));
                                         }));
  }

  void on_answer(const std::shared_ptr<Dialogue>& dialogue, Answer answer) {
    const std::vector<LoadPrompt>& turns = dialogue->conversation->turns;
    const LoadPrompt& prompt = turns[dialogue->turn];
    const bool failed = !answer.record.fault.empty();
    if (failed) {
      add_fault(answer);
    } else if (answer.record.tokens_by != TokenSource::kUsage) {
      uncounted_.push_back({records_.requests.size(), prompt, dialogue->history, answer.text});
    }
    records_.requests.push_back(std::move(answer.record));
    ++done_;
    const bool last = ++dialogue->turn == turns.size();
    if (!failed && !last) {
      dialogue->history.push_back({"user", prompt.text});
      dialogue->history.push_back({"assistant", std::move(answer.text)});
      return say(dialogue);
    }
    total_ -= static_cast<int64_t>(turns.size() - dialogue->turn);
    --n_open_;
    // Not from here: an answer that fails at once would begin the next, which fails at once, ...
    client_.after(0, [this] { start_waiting(); });
    if (n_open_ == 0 && n_started_ == conversations_.size() && probe_) probe_->end();
  }

  void add_fault(const Answer& answer) {
    const std::string& kind = answer.record.fault;
    if (records_.faults[kind]++ < static_cast<int64_t>(kShownOfAKind)) {
      records_.first_faults.push_back(kind + ": " + answer.message);
    }
  }

  // Where there was no usage: by /tokenize, as long as the server has it.
  void count_tokens() {
    for (const Uncounted& what : uncounted_) {
      std::optional<std::vector<int32_t>> prompt = what.prompt.ids;
      if (what.prompt.ids.empty()) {
        std::string text = what.prompt.text;
        for (const ChatMessage& message : what.history) text += message.content;
        prompt = server_.tokenize(ask_.model, text);
      }
      const auto answer = server_.tokenize(ask_.model, what.answer);
      if (!prompt || !answer) return;
      RequestRecord& record = records_.requests[what.request];
      record.prompt_tokens = static_cast<int64_t>(prompt->size());
      record.output_tokens = static_cast<int64_t>(answer->size());
      record.tokens_by = TokenSource::kTokenize;
    }
  }

  HttpClient& client_;
  ModelServer& server_;
  const AskOptions& ask_;
  const LoadPlan& plan_;
  const std::vector<LoadConversation>& conversations_;
  const LoadProgress& progress_;
  double begin_;
  LoadRecords records_;
  std::shared_ptr<HealthProbe> probe_;
  std::vector<Uncounted> uncounted_;
  size_t n_arrived_ = 0;
  size_t n_started_ = 0;
  int64_t n_open_ = 0;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

}  // namespace

const char* token_source_name(TokenSource source) {
  switch (source) {
    case TokenSource::kUsage:
      return "usage";
    case TokenSource::kTokenize:
      return "tokenize";
    default:
      return "chunks";
  }
}

LoadRecords put_load(HttpClient& client, ModelServer& server, const AskOptions& ask,
                     const LoadPlan& plan, const std::vector<LoadConversation>& conversations,
                     const LoadProgress& progress) {
  return Load(client, server, ask, plan, conversations, progress).run();
}

}  // namespace tq
