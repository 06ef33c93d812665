#include "embed/llm.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "embed/request.h"
#include "server/task_queue.h"

namespace tq {
namespace {

// Nothing is refused because much is waiting: who asks is this program itself.
constexpr int64_t kMostWaiting = int64_t{1} << 40;

ApiOptions api_options(const HostOptions& options) {
  ApiOptions api;
  api.root = options.model.path;
  api.version = TQ_VERSION;
  api.max_queue = kMostWaiting;
  return api;
}

constexpr std::chrono::milliseconds kWhile{50};  // between two looks whether to stop

// Events on their way to the thread that wants them.
class EventQueue {
 public:
  void put(AskEvent event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    changed_.notify_one();
  }
  // Nothing when nothing has come for a while.
  std::optional<AskEvent> take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kWhile, [this] { return !events_.empty(); })) return std::nullopt;
    AskEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<AskEvent> events_;
};

// The one event of an answer that is not a stream.
std::string wait_for(std::future<AskEvent> future, Ask& ask, const std::function<bool()>& stops) {
  if (stops && stops()) ask.cancel();
  while (stops && future.wait_for(kWhile) != std::future_status::ready) {
    if (stops()) ask.cancel();
  }
  AskEvent event = future.get();
  if (event.kind == AskEvent::Kind::kError) throw Error(event.code, event.text);
  return std::move(event.text);
}

struct Waiting {
  std::shared_ptr<std::promise<AskEvent>> promise = std::make_shared<std::promise<AskEvent>>();
  std::shared_ptr<Ask> ask = std::make_shared<Ask>(
      [promise = promise](AskEvent event) { promise->set_value(std::move(event)); });
};

}  // namespace

struct Llm::Live {
  explicit Live(const HostOptions& options)
      : api(api_options(options),
            [this](std::function<void()> task) { answers.add(std::move(task)); }) {
    std::promise<std::thread::id> id;
    answers.add([&] { id.set_value(std::this_thread::get_id()); });
    answering = id.get_future().get();
  }
  ~Live() {
    api.close_model();
    std::vector<std::weak_ptr<Ask>> left;
    {
      const std::lock_guard lock(mutex);
      left.swap(asks);
    }
    for (const auto& weak : left) {
      if (const auto ask = weak.lock()) ask->fail(ErrorCode::kCancelled, "the model was closed");
    }
    host.reset();  // what is under way is cancelled, and told so to Replies that are gone
    answers.stop();
  }
  Live(const Live&) = delete;
  Live& operator=(const Live&) = delete;

  // Whether this is the thread that answers.
  bool is_answering() const { return std::this_thread::get_id() == answering; }

  // For the end: who is to be told.
  void remember(const std::shared_ptr<Ask>& ask) {
    const std::lock_guard lock(mutex);
    if (asks.size() >= n_swept * 2) {
      std::erase_if(asks, [](const std::weak_ptr<Ask>& one) { return one.expired(); });
      n_swept = std::max<size_t>(64, asks.size());
    }
    asks.push_back(ask);
  }

  TaskQueue answers{1};  // the thread that answers
  std::thread::id answering;
  Api api;
  std::unique_ptr<Host> host;
  std::mutex mutex;
  std::vector<std::weak_ptr<Ask>> asks;
  size_t n_swept = 64;
};

Llm::Llm(const HostOptions& options,
         const std::function<void(int64_t done, int64_t total)>& progress)
    : live_(std::make_shared<Live>(options)) {
  live_->host = load_host(
      options, [&](const ModelNeeds& needs) { return open_model(options.model, needs, progress); });
  const ServedModel served = live_->host->served();
  live_->api.open_model(served);
  const LoadedModel& loaded = live_->host->loaded;
  tokenizer_ = served.tokenizer;
  description_ = {{"path", options.model.path},
                  {"arch", loaded.model->spec().arch},
                  {"device", std::string(loaded.backend->name())},
                  {"context", served.context},
                  {"max_num_seqs", served.n_sequences},
                  {"vocab", loaded.model->spec().vocab},
                  {"has_chat_template", served.chat_template != nullptr},
                  {"load_s", loaded.load_seconds}};
}

Llm::~Llm() { close(); }

void Llm::close() {
  std::shared_ptr<Live> last;
  {
    const std::lock_guard lock(mutex_);
    last.swap(live_);
  }
  if (last && getpid() != owner_) {
    (void)new std::shared_ptr<Live>(std::move(last));
    return;
  }
  // Which ends that thread: another has to.
  if (last && last->is_answering()) std::thread([last = std::move(last)] {}).detach();
}

std::shared_ptr<Llm::Live> Llm::live() const {
  const std::lock_guard lock(mutex_);
  if (!live_) fail(ErrorCode::kCancelled, "the model was closed");
  return live_;
}

void Llm::post(const std::shared_ptr<Live>& live, std::string path, std::string body,
               const std::shared_ptr<Ask>& ask) {
  live->remember(ask);
  HttpRequest request;
  request.method = "POST";
  request.path = std::move(path);
  request.body = std::move(body);
  live->answers.add(
      [live = live.get(), ask, request = std::move(request)] { live->api.handle(request, ask); });
}

std::shared_ptr<Ask> Llm::ask(const Json& request, bool stream, OnAskEvent told) {
  EmbeddedRequest read = read_request(request, stream);
  const auto model = live();
  const auto ask = std::make_shared<Ask>(std::move(told));
  post(model, std::move(read.path), std::move(read.body), ask);
  return ask;
}

std::string Llm::answer(const Json& request, const std::function<bool()>& stops) {
  Waiting waiting;
  EmbeddedRequest read = read_request(request, false);
  post(live(), std::move(read.path), std::move(read.body), waiting.ask);
  return wait_for(waiting.promise->get_future(), *waiting.ask, stops);
}

void Llm::stream(const Json& request, const std::function<bool(const std::string& chunk)>& on_chunk,
                 const std::function<bool()>& stops) {
  const auto events = std::make_shared<EventQueue>();
  const auto asked =
      ask(request, true, [events](AskEvent event) { events->put(std::move(event)); });
  try {
    while (true) {
      if (stops && stops()) asked->cancel();
      const auto event = events->take();
      if (!event) continue;
      if (event->kind == AskEvent::Kind::kEnd) return;
      if (event->kind == AskEvent::Kind::kError) throw Error(event->code, event->text);
      if (!on_chunk(event->text)) fail(ErrorCode::kCancelled, "cancelled");
    }
  } catch (...) {
    asked->cancel();
    throw;
  }
}

std::string Llm::render(const Json& request) {
  Waiting waiting;
  const EmbeddedRequest read = read_request(request, false);
  post(live(), "/apply-template", read.body, waiting.ask);
  const std::string answer = wait_for(waiting.promise->get_future(), *waiting.ask, {});
  return parse_json(answer, "the rendered chat").at("prompt").get<std::string>();
}

std::vector<int32_t> Llm::encode(std::string_view text, bool add_special) const {
  return tokenizer_->encode(text, {.add_special = add_special});
}

std::string Llm::decode(const std::vector<int32_t>& ids, bool skip_special) const {
  for (const int32_t id : ids) {
    if (id >= 0 && id < tokenizer_->vocab_size()) continue;
    fail(ErrorCode::kInvalidArgument, "token id {}: ids are 0 to {}", id,
         tokenizer_->vocab_size() - 1);
  }
  return tokenizer_->decode(ids, skip_special);
}

Json Llm::describe() const { return description_; }

}  // namespace tq
